"""The engine's verdicts in the reader's language.

The engine speaks English; each kind of sentence it can say stands here as a pattern, and its words in the
table. A sentence that no pattern knows is shown as the engine said it. With it goes how grave it is: *good*,
*bad*, or *open* where nothing can be told.
"""

from __future__ import annotations

import re

from app.theme import Words

N = r"[-+\d.e%]+|-?inf|nan"
RANGE = rf"\((?P<low>{N}) to (?P<high>{N})\)"
SURE = rf"(?P<above>{N}) of the observations lie"
SEEN = rf".* it comes in (?P<seen>{N}) of cases, (?P<due>{N}) expected"
SENTENCES = {
    "verdict_none": ("good", r"no fault found: .*"),
    "verdict_broken": ("open", r"ranks show no fault, yet .*"),
    "verdict_few": ("open", rf"too few to tell: (?P<n>{N}) independent blocks.*"),
    "verdict_dry": (
        "bad",
        rf"dry-biased: {SURE} above all members, (?P<due>{N}) expected; .* by (?P<off>{N}) mm/h {RANGE}",
    ),
    "verdict_wet": (
        "bad",
        rf"wet-biased: {SURE} below all members, (?P<due>{N}) expected; .* by (?P<off>{N}) mm/h {RANGE}",
    ),
    "verdict_leaning_high": ("open", rf"leaning: .* too high .* at (?P<rank>{N}) instead of 50%.*"),
    "verdict_leaning_low": ("open", rf"leaning: .* too low .* at (?P<rank>{N}) instead of 50%.*"),
    "verdict_under": (
        "bad",
        rf"under-dispersed.*: {SURE} above all members and (?P<below>{N}) below, (?P<due>{N}) each expected; "
        rf"spread/skill is (?P<ratio>{N}) {RANGE}",
    ),
    "verdict_over": (
        "bad",
        rf"over-dispersed.*: {SURE} above all members and (?P<below>{N}) below, (?P<due>{N}) each expected; "
        rf"spread/skill is (?P<ratio>{N}) {RANGE}",
    ),
    "verdict_reliable": ("good", rf"rain from (?P<least>{N}) mm/h: reliable within its own interval"),
    "verdict_often": ("bad", rf"rain from (?P<least>{N}) mm/h: forecast too often; {SEEN}"),
    "verdict_seldom": ("bad", rf"rain from (?P<least>{N}) mm/h: forecast too seldom; {SEEN}"),
    "verdict_over_confident": ("bad", rf"rain from (?P<least>{N}) mm/h: over-confident; {SEEN}"),
    "verdict_under_confident": ("bad", rf"rain from (?P<least>{N}) mm/h: under-confident; {SEEN}"),
    "verdict_gain": (
        "open",
        rf"CRPS skill (?P<skill>{N}) {RANGE}; significantly better at (?P<better>{N}) of the (?P<able>{N}) "
        rf"gauges that can tell \(of (?P<n>{N})\), worse at (?P<worse>{N}).*",
    ),
}


def told(say: Words, sentence: str) -> tuple[str, str]:
    """How grave a sentence is, and the sentence in the reader's language."""
    for word, (kind, pattern) in SENTENCES.items():
        if found := re.fullmatch(pattern, sentence):
            mark = _gain(found["low"], found["high"]) if word == "verdict_gain" else kind
            return mark, say(word, **found.groupdict())
    return "open", sentence


def _gain(low: str, high: str) -> str:
    """A gain over a raw source is good where it is sure, a loss bad."""
    return "good" if float(low) > 0 else "bad" if float(high) < 0 else "open"
