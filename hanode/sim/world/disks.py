"""Who has written which disk, from when to when, and how often was it born? The judge of S1 and S6."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Birth:
    time_s: float
    host: str
    source: str  # "image" or "volume"


@dataclass
class Writer:
    """A guest that runs writes its disk; a frozen one still may, so it counts until it is really gone."""

    host: str
    boot: int
    from_s: float
    to_s: float | None = None

    @property
    def ends_s(self) -> float:
        return float("inf") if self.to_s is None else self.to_s

    def overlaps(self, other: Writer) -> bool:
        """Two writers at one time. Touching ends do not overlap."""
        return self.from_s < other.ends_s and other.from_s < self.ends_s


@dataclass
class Disk:
    disk_id: str
    domain: str
    instance_id: str
    births: list[Birth] = field(default_factory=list)
    writers: list[Writer] = field(default_factory=list)
    destroyed: bool = False


class Disks:
    """Every disk and volume that ever was. A destroyed one stays here as evidence."""

    def __init__(self) -> None:
        self._by_id: dict[str, Disk] = {}

    def all(self) -> tuple[Disk, ...]:
        return tuple(self._by_id[key] for key in sorted(self._by_id))

    def of_instance(self, instance_id: str) -> tuple[Disk, ...]:
        return tuple(disk for disk in self.all() if disk.instance_id == instance_id)

    def newest(self, instance_id: str, besides: str) -> Disk | None:
        """The one that was written last, or born last when none was; `besides` a domain that does not count."""
        disks = [disk for disk in self.of_instance(instance_id) if disk.domain != besides and disk.births]
        return max(disks, key=lambda disk: (max((w.from_s for w in disk.writers), default=-1.0), disk.births[-1].time_s), default=None)

    def exists(self, domain: str, instance_id: str) -> bool:
        disk = self._by_id.get(f"{domain}/{instance_id}")
        return disk is not None and not disk.destroyed

    def bear(self, domain: str, instance_id: str, birth: Birth) -> Disk:
        disk = self._by_id.setdefault(f"{domain}/{instance_id}", Disk(f"{domain}/{instance_id}", domain, instance_id))
        disk.births.append(birth)
        disk.destroyed = False
        return disk

    def destroy(self, domain: str, instance_id: str) -> bool:
        """True when there was something to destroy."""
        if not self.exists(domain, instance_id):
            return False
        self._by_id[f"{domain}/{instance_id}"].destroyed = True
        return True

    def open_writer(self, domain: str, instance_id: str, writer: Writer) -> None:
        self._by_id[f"{domain}/{instance_id}"].writers.append(writer)

    def close_writers(self, instance_id: str, host: str, now_s: float, domain: str = "") -> None:
        """On every disk, or on those in one domain."""
        for disk in self.of_instance(instance_id):
            for writer in disk.writers:
                if writer.host == host and writer.to_s is None and domain in ("", disk.domain):
                    writer.to_s = now_s

    def other_writers(self, instance_id: str, host: str) -> tuple[str, ...]:
        """Hosts on which this instance runs right now, apart from this one."""
        hosts = {w.host for disk in self.of_instance(instance_id) for w in disk.writers if w.to_s is None}
        return tuple(sorted(hosts - {host}))
