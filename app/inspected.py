"""The report on a file as a table, with headings in the reader's language.

What the engine says of a file in sentences stays as it is said; everything of it is escaped, for a file may
have a hand in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.theme import Words
from app.uploads import Own

MOST_ROWS = 12  # of the variables


def table(own: Own, say: Words) -> str:
    """What is known of a file: why it was refused, what looks wrong, all that was found, and its picture."""
    parts = []
    if own.problem:
        fix = "own_tell" if own.asks() else "own_refused"
        parts.append(f'<aside class="bad">{escape(own.problem)}<em>{escape(say(fix))}</em></aside>')
    if own.look is None:
        return "".join(parts)
    report = own.look.report
    if own.look.unfit and not own.problem:
        parts.append(f'<aside class="bad">{escape(own.said(own.look.unfit))}</aside>')
    parts += [f"<aside>{escape(own.said(each))}</aside>" for each in report.warnings]
    left = "".join(_section(title, rows, say) for title, rows in report.sections.items() if rows)
    if report.notes:
        lines = "".join(f"<li>{escape(own.said(each))}</li>" for each in report.notes)
        left += f"<h4>{escape(say('own_how'))}</h4><ul>{lines}</ul>"
    return f"{''.join(parts)}<section><div>{left}</div>{_picture(own, say)}</section>"


def _section(title: str, rows: Sequence[Mapping[str, str]], say: Words) -> str:
    head = f"<h4>{escape(say.maybe(f'finding_{title}', title))}</h4>"
    if title != "variables":
        told = ((say.maybe("finding_" + row["what"], row["what"]), row["found"]) for row in rows)
        lines = (f"<tr><th>{escape(what)}</th><td>{escape(found)}</td></tr>" for what, found in told)
        return f"{head}<table>{''.join(lines)}</table>"
    names = list(rows[0])
    top = "".join(f"<th>{escape(say.maybe(f'finding_{name}', name))}</th>" for name in names)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(row.get(name, ''))}</td>" for name in names) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = say("own_more", n=len(rows) - MOST_ROWS) if len(rows) > MOST_ROWS else ""
    return f"{head}<table><tr>{top}</tr>{lines}</table><p>{escape(more)}</p>"


def _picture(own: Own, say: Words) -> str:
    if not own.drawing or own.look is None or own.look.reach is None:
        return ""
    said = say("own_picture", time=str(own.look.picture["time"])[:16])
    return f"<figure>{own.drawing}<figcaption>{escape(said)}</figcaption></figure>"
