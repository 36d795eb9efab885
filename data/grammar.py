"""The embedded corpus: news-like English of any length from a weighted grammar, tokenised like One Billion Word.

`python -m data.grammar | head` prints its first lines. Line i of a stream depends on the stream's seed and i alone, so
any number of lines can be drawn and the first ones never change. The rules below are the corpus: a change to one of
them must change VERSION, and the pinned hashes in the tests.

A rule is `name = 5: words and <names> | words`, alternatives with an optional weight (default 1). A word list is
`name ~ word word ...`; word i = 0, 1, ... has weight 1 / (i + 1) (Zipf's law), and `_` stands for a space.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice

import numpy as np
from numpy.typing import NDArray

from data.command import parse_command, run_command

VERSION = "grammar-1"
TRAIN_LINES = 200_000
"""Default number of training lines."""
HELD_OUT_LINES = 20_000

_TRAIN_SEED, _HELD_OUT_SEED = 0, 1
_BLOCK = 1 << 15

RULES = """
line = 14: <statement> . | 14: <statement> <tail> . | 8: <statement> , <conjunction> <statement> . | 10: <claim> , <source> . | 4: <claim> <tail> , <source> . | 10: <source> <that> <claim> . | 6: <source> <that> <claim> <tail> . | 8: " <claim> , " <source> . | 4: " <claim> , " <source> . " <claim> . " | 6: <opening> , <statement> . | 3: <question> ? | 3: But <statement> <tail> . | 2: And <claim> , <source> . | 2: <statement> ; <claim> . | 2: <dateline> -- <statement> <tail> . | 2: If <claim> , <modal_claim> . | 1: " <exclaim> ! " <source> .
conjunction ~ but and while as although because so
tail = 6: as <event> | 4: after <event> | 4: <when> | 3: because of <np> | 3: , <according> | 3: , which <past> <object> | 2: before <event> | 2: to <act> | 2: with <np> | 2: , including <number> <plural> | 2: despite <np> | 1: , up from <figure> <when> | 1: , compared with <figure> <when>
figure = <money> | <percent> | <number>
statement = 14: <actor> <did> | 6: <actors> <did_many> | 6: <actor> <did> <when> | 3: <actors> <did_many> <when> | 5: <when> , <actor> <did> | 2: <when> , <actors> <did_many> | 5: <actor> , <apposition> , <did> | 3: <figure_claim> | 2: <there>
claim = 8: <pronoun> <said_be> <state> | 8: <actor> <modal> <act> | 4: <actors> <modal> <act> | 6: <they> <plural_act> | 6: <actor> <be> <state> | 3: it <be> <state> to <act> | 3: <figure_claim> | 2: <there> | 3: <thing> <modal> be <state> | 5: <actor> <did> | 3: <actors> <did_many>
modal_claim = <actor> <modal> <act> | <they> <modal> <act> | it <modal> be <state>
question = 3: what <modal> <actor> do <when> | 2: why did <actor> <act> | 2: how many <plural> <modal> <act> | who <modal> <act> <when> | is it <state> to <act>
exclaim = we did it | this is <state> | what a <adjective> <noun> | it 's <state> | I can 't believe it
source = 12: <speaker> said | 5: <speaker> told <outlet> | 3: <pronoun> said <when> | 3: <speaker> added | 2: <pronoun> told reporters in <city> | 2: <officials> said | 1: <speaker> wrote in <np> | 2: <speaker> said <when>
that = 5: that | 1: on <day> that
according = according to <according_to> | <officials> said | the <organisation> said
according_to = a <document> | the <document> | <officials> | <speaker> | people familiar with the <noun>
opening = 3: in <place> | 2: in a statement | for example | however | at the same time | for now | in the end | so far | meanwhile
dateline = <city_caps> ( <agency> )
city_caps ~ WASHINGTON LONDON NEW_YORK PARIS BAGHDAD BEIJING TOKYO MOSCOW JERUSALEM KABUL BERLIN CHICAGO
agency ~ AP Reuters AFP
did = 12: <did_any> | 3: was <passive> <agent> | 2: has <passive_object> | 1: was <passive> in <place> | 1: is expected to <act>
did_many = 12: <did_any> | 3: were <passive> <agent> | 2: have <passive_object> | 1: were <passive> in <place> | 1: are expected to <act>
did_any = 14: <past> <object> | 6: <past_that> <claim> | 4: <past_in> <place> | 3: had <passive_object> | 4: <past_to> <act> | 2: did not <act> | 2: <past> <object> <preposition> <np>
plural_act = 4: have <passive_object> | 4: are <state> | 3: want to <act> | 3: <modal> <act> | 2: were <passive> <agent> | 2: need <number> more <plural> | 1: don 't <act>
act = 8: <verb> <object> | 4: <verb> <object> <when> | 4: <verb> <object> in <place> | 3: <verb_about> the <noun> | 2: be <passive> <agent> | 2: <verb> and <verb> <object> | 2: <verb> <object> <preposition> <np>
event = 3: <actor> <past> <object> | 2: <actors> <past> <object> | 2: <determiner> <noun> <past_in> <place> | 2: <number> <plural> were <passive> in <place> | the <adjective> <noun> <preposition> <np>
object = 12: <np> | 5: <np> <preposition> <np> | 4: <person> | 4: <number> <plural> | 3: <money> | 2: <country> 's <noun> | 2: <company> | 1: its <noun> | 1: his <noun> | 1: their <plural>
passive_object = <passive> <object> | been <passive> <agent> | <become>
become = become <state> | grown <amount> | fallen <amount>
agent = 5: by <actor> | 3: in <place> | 3: <when> | 2: for <np> | 1: because of <np>
preposition ~ of in for on with from against over about between
np = 10: <determiner> <noun> | 8: <determiner> <adjective> <noun> | 4: <adjective> <plural> | 3: <determiner> <noun> of <mass> | 3: <plural> | 2: <mass> | 2: the <organisation> | 2: <determiner> <industry> <noun> | 1: <determiner> <adjective> and <adjective> <noun> | 1: the <ordinal> <noun>
actor = 9: <person> | 8: <determiner> <job> | 6: <company> | 6: <determiner> <noun> | 5: the <organisation> | 4: <country> | 3: <determiner> <adjective> <noun> | 2: <country> 's <job> | 2: Mr. <surname> | 1: Ms. <surname> | 3: <pronoun>
actors = 4: <officials> | 3: <plural> | 4: <number> <plural> | 3: <adjective> <plural> | 2: the <adjective> <plural> | 1: shares of <company>
thing = <determiner> <noun> | <determiner> <adjective> <noun> | the <industry> <noun> | <mass>
speaker = 6: <person> | 5: Mr. <surname> | 2: Ms. <surname> | 3: <title> <surname> | 3: the <job> | 2: <person> , <apposition> ,
apposition = 3: a <job> at <company> | 3: the <organisation> 's <job> | 2: <age> | 2: who <past> <object> | 2: a <nationality> <job> | 1: the <ordinal> <job> of <country>
person = 4: <first> <surname> | 1: <first> <initial> <surname>
officials ~ officials police authorities critics analysts prosecutors <nationality>_officials experts investigators <organisation>_officials
when = 8: on <day> | 4: in <month> | 3: in <year> | 3: last <period> | 3: this <period> | 2: <number> <periods> ago | 2: at the end of the <period> | 2: earlier this <period> | 1: by <year> | 2: on <month> <date> | 1: since <year> | 1: for <number> <periods>
place = 6: <city> | 4: <country> | 3: the <region> | 2: the <building> | 2: a <building> in <city> | 1: northern <country> | 1: southern <country>
amount = 4: <percent> | 2: <percent> to <money> | 2: to <money> | 1: sharply | 1: slightly | 1: by more than <percent>
figure_claim = 4: <measure> <moved> <amount> | 2: <measure> <moved> <amount> <when> | 1: <company> reported <measure> of <money>
there = there were <number> <plural> in <place> | there was no <noun> in <place> | there is a <adjective> <noun> in <place> | there are <adjective> <plural>
money = 4: $ <number> <scale> | 2: $ <number> | 1: $ <decimal> <scale> | 1: <number> <scale> euros | 1: more than $ <number> <scale>
percent = 3: <number> percent | 2: <decimal> percent | 1: <number> % | 1: nearly <number> percent
determiner ~ the a the this his the its a their another every
pronoun ~ he it she
they ~ they we people you I
said_be ~ was is had_been would_be
be ~ is was will_be is_not was_not has_been could_be
modal ~ will would could should can may must might will_not would_not can_not
past ~ said announced won reported found made took opened called sold bought signed killed joined left lost built asked used led kept faced approved rejected received helped launched ordered closed hit saw sent beat released proposed raised changed visited followed accused met offered supported planned published moved sought attacked replaced blocked defended reached warned
past_that ~ said announced believed warned argued knew reported showed hoped claimed insisted suggested confirmed denied noted
past_in ~ arrived_in was_in lived_in died_in stayed_in returned_to worked_in flew_to grew_up_in went_to met_in
past_to ~ wanted_to agreed_to decided_to tried_to refused_to had_to planned_to failed_to promised_to offered_to
passive ~ made found killed used given asked taken told forced held arrested reported sold expected named released cut sent injured charged hit approved moved built called seen paid lost changed closed
verb ~ take make get find help keep build use give buy lead leave stop raise end change win sell follow join call support meet hold play pay cut reach move lose see run save show block open close visit fight accept bring face protect review
verb_about ~ talk_about think_about wait_for look_at vote_on pay_for work_on deal_with
moved ~ rose fell dropped climbed gained slipped increased declined grew jumped
noun ~ company government market year deal report group case game plan bank country team war time city house election law season school party man family week police president crisis vote court program attack economy film story industry campaign problem trial price project decision report system woman service state bill army policy summit meeting agency contract race show budget investigation strike statement match goal bomb club road border network coach student storm player fund loan book rate leader hospital church station car ship flight victim treaty
plural ~ people workers years officials troops jobs students companies children investors women men homes voters prices banks sales families players soldiers leaders lawmakers cars shares fans doctors countries talks members residents teachers states schools reports customers reporters lawyers charges plans passengers results protesters patients costs taxes rights games votes victims weapons farmers airlines ships drugs
mass ~ money oil power water food time work violence growth information gas health trade peace security research support evidence debt business education energy justice pressure
adjective ~ new former first last big own high good large small major long strong local political national early public financial key economic military young recent bad foreign federal top private international serious final American low British late free fresh old special quiet real calm senior likely global difficult legal popular weak dead open illegal rare poor
state ~ good likely clear ready important dead possible difficult wrong safe right available expected concerned necessary too_late not_enough under_way in_trouble unlikely afraid open hard true better responsible illegal worse dangerous
job ~ president spokesman minister chairman director manager coach reporter judge lawyer senator doctor leader officer spokeswoman analyst professor teacher driver captain writer actor economist soldier mayor governor commander engineer
title ~ President Sen. Gov. Dr. Judge Gen. Mayor Prof. Rep.
first ~ John David Michael James Robert Mary Paul Mark George Peter Sarah Richard William Thomas Anna Steve Maria Kevin Susan Daniel Laura Tony Chris Martin Karen Alan Nancy Ahmed Jose Wei Helen Brian Frank Emma Andrew Lisa Omar Carlos Julia Yuki
initial ~ A. J. M. B. D. W. R. L. H. E.
surname ~ Smith Brown Johnson Clark Miller Lee Davis Wilson Moore Khan King Green Walker Harris Young Jones Martin White Scott Allen Baker Hall Hill Adams Nelson Carter Garcia Chen Lopez Murphy Cooper Ward Gray Ross Wood Price Ali Wang Kim Silva Cohen Fischer Novak Rossi Tanaka Evans Hughes
company ~ Northgate_Bank Delmar_Motors General_Steel Orion_Air Halden_Group Pacific_Gas Westbrook_Inc. Avalon_Corp. Summit_Foods Kestrel_Energy United_Freight Marlow_Media Tristar_Systems Bright_Mobile First_Harbor Linden_Stores Atlas_Drugs Crown_Hotels
outlet ~ Reuters the_BBC the_AP CNN the_paper the_newspaper state_television the_court the_committee
organisation ~ government court committee army union agency ministry Senate House central_bank White_House United_Nations European_Union health_department state_department league association university council Fed World_Bank
document ~ report statement study survey poll letter memo document police_report court_filing
industry ~ oil housing car health stock credit airline film energy music insurance steel food
measure ~ sales shares profit the_index prices oil_prices unemployment the_dollar revenue exports house_prices net_income the_euro turnover
country ~ Iraq China Iran Britain Russia the_United_States Israel Afghanistan France Germany India Japan Pakistan Mexico Canada Spain Italy Australia Georgia Turkey South_Korea Brazil Greece Egypt Poland Kenya Sudan
nationality ~ American British Iraqi Chinese Russian French German Israeli Iranian Indian Japanese Turkish Spanish Mexican Canadian
city ~ New_York London Washington Baghdad Paris Beijing Los_Angeles Chicago Boston Tokyo Moscow Kabul Miami Dallas Berlin Houston Gaza Madrid Rome Dublin Manchester Geneva Sydney Toronto Vienna Denver Cairo
region ~ country area region south north city state capital province West Middle_East district
building ~ hospital school court airport hotel prison stadium church factory station museum theatre
day ~ Tuesday Thursday Wednesday Friday Monday Saturday Sunday
month ~ March September January May October June December July April November August February
period ~ year week month summer season quarter weekend
periods ~ years days months weeks hours minutes
ordinal ~ first second third fourth largest oldest biggest richest fifth
age = <tens> years old | aged <tens> | <tens>
scale ~ million billion
year ~ 2008 2007 2009 2006 2005 2010 2004 2003 2001 2000 1999 1998 2002 1997 1996 1990
date ~ 1 2 4 3 11 5 7 6 10 9 8 12 15 14 13 20 16 21 17 22 18 24 30 19 25 23 26 28 27 29 31
number = 5: <small> | 5: <tens> | 2: <hundreds> | 1: <thousands>
small ~ two three four five six seven eight nine
tens ~ 10 20 12 15 30 11 50 18 25 40 14 16 17 13 22 60 19 35 21 24 80 28 45 23 70 32 27 90 26 38 75 42 33 29 55 31 65 48 36
hundreds ~ 100 200 300 150 500 400 250 120 600 180 800 350 130 700 450 110
thousands ~ 1,000 2,000 10,000 3,000 5,000 1,200 20,000 4,000 1,500 100,000 50,000 6,000 30,000
decimal ~ 1.5 2.5 0.5 1.2 3.5 2.1 0.3 1.8 4.5 2.8 0.1 3.2 1.1 5.6 0.8 6.5 4.2 7.3 2.4 3.7 8.1
"""


@dataclass(frozen=True)
class Rules:
    """The grammar as arrays. Symbols 0 .. R-1 are rules, R .. are words; symbol R ends a line.

    The alternatives of all rules have consecutive numbers; alternative k is `symbols[start[k] : start[k] + length[k]]`.
    `threshold[k]` is the number of its rule plus the cumulative probability up to and including k, so that for rule r
    and u ~ U(0, 1) the chosen alternative is `searchsorted(threshold, r + u, "right")`. Word w is the bytes
    `text[word_start[w] : word_start[w] + word_length[w]]`, which begin with a space.
    """

    rules: int
    threshold: NDArray[np.float64]
    start: NDArray[np.int32]
    length: NDArray[np.int32]
    symbols: NDArray[np.int32]
    text: NDArray[np.uint8]
    word_start: NDArray[np.int32]
    word_length: NDArray[np.int32]


def parse_rules(text: str = RULES) -> Rules:
    """Turn rule text into arrays; the first rule is the start symbol."""
    rules = dict(_parse_rule(line) for line in text.strip().splitlines())
    number = {f"<{name}>": index for index, name in enumerate(rules)}
    words: dict[str, int] = {"\n": 0}
    threshold: list[float] = []
    length: list[int] = []
    symbols: list[int] = []
    for index, alternatives in enumerate(rules.values()):
        weights = np.array([weight for weight, _ in alternatives])
        cumulative = np.cumsum(weights) / weights.sum()
        cumulative[-1] = 1.0
        threshold.extend(index + cumulative)
        for _, tokens in alternatives:
            length.append(len(tokens))
            symbols.extend(
                number[token] if token in number else len(rules) + words.setdefault(f" {token}", len(words))
                for token in tokens
            )
    return Rules(
        rules=len(rules),
        threshold=np.array(threshold),
        start=np.cumsum([0, *length], dtype=np.int32)[:-1],
        length=np.array(length, np.int32),
        symbols=np.array(symbols, np.int32),
        text=np.frombuffer("".join(words).encode("ascii"), np.uint8),
        word_start=np.cumsum([0, *map(len, words)], dtype=np.int32)[:-1],
        word_length=np.array([len(word) for word in words], np.int32),
    )


def _parse_rule(line: str) -> tuple[str, list[tuple[float, list[str]]]]:
    name, kind, body = line.split(" ", 2)
    if kind == "~":
        return name, [(1 / (rank + 1), word.split("_")) for rank, word in enumerate(body.split())]
    alternatives = []
    for alternative in body.split(" | "):
        weight, colon, tokens = alternative.partition(": ")
        alternatives.append((float(weight), tokens.split()) if colon else (1.0, alternative.split()))
    return name, alternatives


def generate(rules: Rules, seed: int) -> Iterator[list[str]]:
    """Yield infinitely many blocks of lines. Block b depends on the seed and b alone."""
    for block in count():
        text = _expand(rules, np.random.default_rng([seed, block]), _BLOCK)
        yield text.split("\n")[:-1]


def train_lines() -> Iterator[list[str]]:
    """Yield infinitely many training lines, in blocks."""
    return generate(parse_rules(), _TRAIN_SEED)


def held_out_lines() -> Iterator[list[str]]:
    """Yield the held-out lines, drawn with another seed than the training lines."""
    yield list(islice(chain.from_iterable(generate(parse_rules(), _HELD_OUT_SEED)), HELD_OUT_LINES))


def _expand(rules: Rules, rng: np.random.Generator, lines: int) -> str:
    """Rewrite `lines` start symbols together, level by level, until only words are left."""
    symbols = np.tile(np.array([0, rules.rules], np.int32), lines)
    while (is_rule := symbols < rules.rules).any():
        where = np.flatnonzero(is_rule)
        chosen = np.searchsorted(rules.threshold, symbols[where] + rng.random(where.size), "right")
        length = np.ones(symbols.size, np.int32)
        length[where] = rules.length[chosen]
        # Words stay as they are: they are copied from the old symbols, appended to the alternatives.
        start = np.arange(rules.symbols.size, rules.symbols.size + symbols.size, dtype=np.int32)
        start[where] = rules.start[chosen]
        symbols = np.concatenate([rules.symbols, symbols])[_spans(start, length)]
    words = symbols - rules.rules
    line_ends = np.flatnonzero(words == 0)
    length = rules.word_length[words]
    text = rules.text[_spans(rules.word_start[words], length)]
    # Every line begins with the space of its first word: drop it, and capitalise the first letter.
    first = np.concatenate([[0], np.cumsum(length)[line_ends[:-1]]])
    letter = first + np.where(text[first + 1] == ord('"'), 3, 1)
    text[letter] = np.where((text[letter] >= ord("a")) & (text[letter] <= ord("z")), text[letter] - 32, text[letter])
    line_text = np.delete(text, first).tobytes().decode("ascii")
    return re.sub(r"\b([Aa]) (?=[aeioAEIO](?!ne\b|u))", r"\1n ", line_text)


def _spans(start: NDArray[np.int32], length: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the concatenated ranges start[i], ..., start[i] + length[i] - 1."""
    ends = np.cumsum(length, dtype=np.int32)
    return np.arange(ends[-1], dtype=np.int32) + np.repeat(start - ends + length, length)


@dataclass(frozen=True)
class GrammarCommand:
    """Flags of `python -m data.grammar`."""

    lines: int | None = None
    """Number of lines to print. Default: no limit, for `| head`."""


def main(arguments: list[str]) -> int:
    """Print training lines."""
    command = parse_command(GrammarCommand, arguments, "data.grammar", __doc__)
    for line in islice(chain.from_iterable(train_lines()), command.lines):
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    run_command(main)
