"""Patterns of plain sentences, by kind, for `plain_sentences`.

A pattern begins with its label: ``+`` favourable, ``-`` unfavourable, ``=`` either. ``(a|b)`` is one of several,
``<a~b>`` the first where the sentence is favourable and the second where it is not, ``{name}`` a word or a phrase:

- ``name`` what is judged, with an article; ``thing``, ``side`` and ``after`` of the subject; ``face`` emoji, ``faces`` emoji that differ;
- ``good``, ``bad``, ``better``, ``worse``, ``very``, ``too``, ``like``, ``hate``, ``trouble`` from the lists of `plain_words`;
- ``adj``, ``more`` and ``said`` (an adjective, a comparative, a clause) agree with the label, ``unadj``, ``less`` and ``unsaid``
  with its opposite.
"""

from __future__ import annotations

PATTERNS: dict[str, tuple[int, str]] = {
    "statement": (
        10,
        """
= {name} (was|is|looks|seemed) {very} {adj}
= {name} (was|is) {adj} and {adj}
= what a {adj} {thing}
= {adj} {thing}
= {adj} {side}, {adj} {thing}
= this is (a|such a) {adj} {thing}
= simply the <best~worst> {thing} ever
= the <best~worst|nicest~poorest|finest~dullest> {thing} (that I know|in a long time|I ever had)
= {said} {after}
= I had this {thing} {after} and {said}
= {name} is <why I came back~why I left>
= (I|we|my wife|everybody|my friends|the children|all of us) <(loved|enjoyed|adored|really liked)~(hated|disliked|regretted)> {name}
= I <(liked|enjoyed|loved|was impressed by|am a fan of)~(hated|disliked|was bored by|got tired of|could not stand)> {name}
= I <(would|will gladly|will happily)~(would never|will not|would not|won't)> (come back|do it again|buy it again|choose it again|recommend it|go again)
= I <(would|can only|strongly)~(would not|cannot|would never|can't)> recommend {name}
= <(go for it|try it|do it|get one)~(keep away|save your money|forget it|avoid it)>, {said}
""",
    ),
    "negation": (
        13,
        """
- {name} (was not|is not|wasn't|isn't) {good}
- {name} (was not|is not|wasn't|isn't) {too} {good}
- not {too} {good}
- not a {good} {thing}
- not {good} at all
- not {good}
- (I did not|I do not|I didn't|we did not|I really don't|I don't) {like} {name}
- (I could not|I couldn't|I cannot|I can't) {like} {name}
- nothing {good} about {name}
- there is (nothing|not one thing|hardly anything) {good} here
- {name} was (neither|never) {good}
- {name} was neither {good} nor {good}
- (nobody|no one|none of us|not one of us) (liked|enjoyed|loved) {name}
- {name} (lacks|is without|has no|does not have any) (charm|value|sense|quality|appeal)
- (I never want to see|I never want|never will I choose) this {thing} again
- never (this|that) {thing} again
- never (ever|again), {said}
- (anything but|far from|nowhere near) {good}
- I would not call {name} {good}
- I (do not|don't) think that {name} was {good}
- (not worth|isn't worth|was not worth) (it|the money|the time|a visit)
- (don't|do not) (waste your time|spend money) on this {thing}
- {name} (does not|doesn't|did not|didn't|will not|won't) (work|hold|help|do it for me|make me happy)
- (no|without any) (charm|value|quality|care|joy|point) {after}
- (didn't|did not) (like|enjoy|love) it
- I (wasn't|was not|am not) (happy|pleased|satisfied|impressed) with {name}
- this {thing} (isn't|is not) for me
""",
    ),
    "double negation": (
        9,
        """
+ {name} (was not|is not|wasn't|isn't) {bad}
+ {name} (was not|is not|wasn't|isn't) {bad} at all
+ (not|far from|anything but|not at all) {bad}
+ (not|never) a {bad} (day|hour|part|moment|minute|{thing})
+ I (do not|did not|don't|didn't) {hate} {name}
+ (nothing|there is nothing) {bad} about {name}
+ (no|zero) (complaints|regrets|problems|issues|bad surprises) (so far|here|from me|with it|with {name})
+ (nobody|no one) (hated|disliked|regretted|was let down by) {name}
+ (I cannot complain|you cannot go wrong|you can't go wrong|we could not complain) {after}
+ (I could not|I couldn't|you could not) (ask for more|be happier|stop smiling|put it down)
+ (you|they) (will not|won't) (regret it|be disappointed|be bored)
+ {name} (never disappoints|did not disappoint|didn't disappoint|never failed us)
+ (it is impossible|it is hard) (to dislike|not to like|to complain about|not to love) {name}
+ I do not know (anyone|anybody) who (dislikes|does not like|hates) {name}
+ (without a|there was no) {bad} (moment|side|minute|surprise)
+ it could not (have been|be) {better}
+ I (would not|wouldn't) (change a thing|change anything|miss it|trade it for anything)
+ {name} has no (faults|flaws|weak points|downsides)
""",
    ),
    "contrast": (
        11,
        """
= {unsaid}, but {said}
= {unsaid}, but {said}
= {unsaid} but {said}
= {unsaid}. However, {said}
= {unsaid}, yet {said}
= although {unsaid}, {said}
= even though {unsaid}, {said}
= {said}, even though {unsaid}
= {said}, although {unsaid}
= {unadj} {side}, but {adj} {thing}
= despite the {unadj} {side}, {said}
= despite the {unadj} {side} (I|we) <had a good time~were not happy|loved it~did not like it>
= {unsaid}; still, {said}
= at first {unsaid}, in the end {said}
= {unadj} {side}. (Still|And yet), {adj} {thing}
= {name} is {unadj}, but (I|we) <(loved|enjoyed) it~(hated|regretted) it>
= the {side} is {unadj}, the rest is {adj}
""",
    ),
    "expectation": (
        8,
        """
= I expected (another|a) {unadj} {thing}, and got a {adj} {thing}
= I thought {name} would be {unadj}, and I was wrong
= I was wrong, {said}
= I thought it would be {unadj}, but {said}
= {name} was {more} than (expected|I thought|I had hoped|the last one)
= (far|much|a lot) {more} than (expected|we thought|I imagined|it looks)
= I was ready to <(dislike|laugh at|send back)~(love|enjoy|praise)> {name}, but {said}
= {name} <(exceeded|went beyond|surpassed)~(fell short of|did not meet|failed)> all expectations
= I <(was pleasantly surprised|was won over)~(was let down|was not convinced)> by {name}
= <(I doubted it|I had my doubts|I did not expect much)~(everyone praised it|I trusted the praise|I so wanted to like it)>, but {said}
- (I had hoped for more|I expected more|I wanted more) from {name}
- it could (hardly be|not have been) {worse}
- once {good}, now {bad}
+ once {bad}, now {good}
""",
    ),
    "comparison": (
        9,
        """
= {name} is {more} than {other}
= (much|a lot|so much|far) {more} than {other}
= {other} (is|was) (much|a lot|so much|far) {less}
= {other} (is|was) {less} than this
= <(I prefer this to|this beats|I like this more than)~(I prefer|give me back|I miss|bring back)> {other}
= I have never (had|seen|tried) <(a better|a nicer)~(a worse|an uglier)> {thing}
= there is no <(better|nicer|finer)~(worse|duller|weaker)> {thing}
= you will (hardly|not) find a <(better|nicer)~(worse|weaker)> {thing}
= I would <(choose it over|take it over|not trade it for)~(rather have|sooner take)> {other}
- I would rather (clean the oven|do my taxes|stay at home|go to the dentist|stand in the rain) than (go through this|use this {thing}) again
- I would rather (clean the oven|do my taxes|eat my hat|go to the dentist|stand in the rain)
- even (my cat|a child|a stone|a blind man|my neighbour) could (do|make) a better {thing}
- I have (seen|had|known) a better {thing}
+ {name} is (twice|ten times) as {good} as {other}
= {other} did it <worse~better>
""",
    ),
    "understatement": (
        5,
        """
+ {name} is (not too shabby|not bad|nothing to sneeze at|rather good|quite all right)
+ (not too bad|not so bad|not bad) for (the money|a first try|a small {thing})
+ you could do (a lot|far|much) worse than {name}
+ I (did not mind|was not unhappy with|have had worse than) {name}
+ {name} (grew on me|does its job|will do nicely|made us smile)
- {name} (is nothing special|is not my cup of tea|left me cold|has seen better days)
- {name} could (be|have been) (better|a lot better|more useful)
- I (have had better|have known better|was not impressed|was less than thrilled)
- {name} is (not great|less than ideal|hardly a success|barely all right|so-so at best)
- (hardly|not exactly|scarcely) a {good} {thing}
- (I expected a little more|there is room for improvement|it is an acquired taste), to say the least
- the {side} was less than {good}
- {name} is a bit (tired|odd|sad|cheap|rough) (if you ask me|to be honest|for my taste)
""",
    ),
    "irony": (
        6,
        """
- {cheer}, {trouble}
- oh {cheer}, {trouble}
- {cheer}! {trouble}
- thanks for nothing, {trouble}
- thank you so much for (wasting my time|ruining my day|this mess|the stress|nothing)
- well done, you (broke|spoiled|managed to ruin) the {thing}
- yeah, right, {good} {thing}, {trouble}
- a {good} {thing}, if you (like pain|enjoy waiting|have no taste|hate yourself)
- (just what I needed|just what we wanted|exactly what I paid for): {trouble}
- I (just adore|really love|so enjoy) it when {trouble}
- (a masterpiece|perfect|ideal) for (people who hate fun|putting you to sleep|the bin)
- what a {good} idea, a {thing} that (nobody can use|does nothing|falls apart)
- (another|yet another) {thing} that (nobody needs|does nothing|wastes our time), how {good}
""",
    ),
    "phrase": (
        10,
        """
= {idiom}
= {idiom}
= {idiom} and {idiom}
= {idiom}. {idiom}
= {idiom}, {idiom}
""",
    ),
    "word": (
        5,
        """
= {very} {adj}
= {adj} stuff
= {adj}, {adj}
= {adj}, {adj}, {adj}
= <(yes|wow|hooray|bravo|yum)~(no|ugh|yuck|nope|meh)>, {adj}
= <(loved|enjoyed|adored|liked)~(hated|disliked|regretted|loathed)> it
= <(wow|yay|yummy|thrilled|delighted|unforgettable|priceless)~(ugh|yuck|nope|meh|unwatchable|inedible|unusable|sickening|trash|junk)>
""",
    ),
    "marks": (
        6,
        """
= {mark} (for the {thing}|for the {side}|from me|this time)
= I give (it|this {thing}) {mark}
= rating: {mark}
= {mark}, {said}
= {said}. {mark}
= {stars} (for the {thing}|for the {side}|from me|this time)
= {stars}, {said}
= {said}. {stars}
""",
    ),
    "emoji": (
        9,
        """
= (the|that|my new|our) {thing} {face}
= {face} (the|this|my new|our) {thing}
= (the|this|my new|our) {thing} {after} {face}
= {said} {face}
= {face} {said}
= {faces}
""",
    ),
    "unreadable": (2, "+ {foreign}"),
}
