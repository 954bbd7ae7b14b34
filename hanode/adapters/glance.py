"""Which images belong to instances that rebuild themselves (Octavia's amphorae) and must never be evacuated?"""

from __future__ import annotations

from collections.abc import Sequence

from hanode.adapters.rest import Json, NoSuchService, Rest, parsing

PATH = "/v2/images"


class Glance:
    def __init__(self, rest: Rest, tags: Sequence[str]) -> None:
        self._rest = rest
        self._tags = tags

    def read_skip_images(self) -> frozenset[str]:
        try:
            # A rotated image is hidden in Glance, but amphorae made from it still run.
            return frozenset(image_id for tag in self._tags for hidden in ("false", "true")
                             for image_id in self._tagged(tag, hidden))
        except NoSuchService:
            return frozenset()  # without an image service there are no images to skip

    def _tagged(self, tag: str, hidden: str) -> list[str]:
        rows: list[Json] = self._rest.pages(PATH, "images", lambda row: str(row["id"]), links="next",
                                            params={"tag": tag, "os_hidden": hidden})
        with parsing("image", PATH):
            return [str(row["id"]) for row in rows]
