"""An incident's review as a page for people: Markdown for a ticket, HTML for a mail. Whatever a tenant wrote stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape

from hanode.engine.plain import one_line
from hanode.engine.review import Review

Rows = Sequence[Sequence[str]]
INSTANCES = ("instance", "id", "project", "state", "now on", "down from", "until", "for")

STYLE = ("body{font:15px sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse;margin:1em 0}"
         "td,th{border:1px solid #bbb;padding:.25em .6em;text-align:left}")


def markdown(review: Review) -> str:
    def table(head: Sequence[str], rows: Rows) -> str:
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    parts = [f"# {_md(_title(review))}", "", *(f"- {name}: {_md(text)}" for name, text in _summary(review)), "", "## What happened", "",
             table(("when (UTC)", "what"), _each(_md, review.timeline)), "", "## How long it took", "",
             table(("", "count", "p50", "p90", "p99", "longest"), _each(_md, _phases(review))), "", "## Instances that ran there", "",
             table(INSTANCES, _each(_md, _instances(review)))]
    return "\n".join(parts) + "\n"


def html(review: Review) -> str:
    def table(head: Sequence[str], rows: Rows) -> str:
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{body}</table>"

    title = _html(_title(review))
    facts = "".join(f"<li>{name}: {_html(text)}</li>" for name, text in _summary(review))
    return (f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>'
            f"<ul>{facts}</ul><h2>What happened</h2>{table(('when (UTC)', 'what'), _each(_html, review.timeline))}"
            f"<h2>How long it took</h2>{table(('', 'count', 'p50', 'p90', 'p99', 'longest'), _each(_html, _phases(review)))}"
            f"<h2>Instances that ran there</h2>{table(INSTANCES, _each(_html, _instances(review)))}</html>\n")


def _title(review: Review) -> str:
    return f"{review.host}: {review.kind} ({review.incident})"


def _summary(review: Review) -> list[tuple[str, str]]:
    share = f"{review.within_target} of {review.recovered} within {review.target_s:g} s" if review.recovered else "none"
    found = [("outcome", review.outcome), ("cause", review.cause), ("proof", review.proof), ("power-offs sent", str(review.power_offs)),
             ("instances that ran there", str(len(review.instances))), ("recovered", share), ("stuck or failed", str(review.lost))]
    return [(name, text) for name, text in found if text]


def _phases(review: Review) -> Rows:
    return [(name, str(s.count), *(seconds(value) for value in (s.p50_s, s.p90_s, s.p99_s, s.max_s))) for name, s in review.phases.items()]


def _instances(review: Review) -> Rows:
    return [(d.name, d.instance_id, d.project_id, d.state, d.target, d.down_from, d.down_until,
             "" if d.down_s is None else seconds(d.down_s)) for d in review.instances]


def seconds(value: float) -> str:
    return f"{value:g} s" if value < 600 else f"{value / 60:.0f} min"


def _each(clean: Callable[[str], str], rows: Iterable[Sequence[str]]) -> Rows:
    return [[clean(cell) for cell in row] for row in rows]


def _md(text: str) -> str:
    """Nothing in it is a link, a tag, emphasis or the end of a cell."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!~&@]|:(?=//))", r"\\\1", one_line(text))


def _html(text: str) -> str:
    return escape(one_line(text), quote=True)
