"""Words and phrases that `plain_sentences` makes sentences of: what is good, what is bad, and what about.

Lists are separated by commas; a phrase is one entry.
"""

from __future__ import annotations

from dataclasses import dataclass


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.replace("\n", " ").split(",") if entry.strip())


GOOD = _list(
    """good, great, excellent, wonderful, amazing, brilliant, lovely, perfect, outstanding, impressive, enjoyable,
    delightful, pleasant, terrific, fabulous, marvellous, remarkable, beautiful, charming, nice, fine, first-class,
    awesome, incredible, superb, memorable, satisfying, clever, exceptional, solid, magnificent, splendid"""
)
BAD = _list(
    """bad, awful, terrible, horrible, poor, dreadful, disappointing, mediocre, lousy, pathetic, atrocious, ridiculous,
    annoying, frustrating, unpleasant, weak, appalling, abysmal, rubbish, ugly, boring, tedious, horrendous, hopeless,
    dull, sloppy, miserable, painful, stupid, useless, shoddy, nasty"""
)
STRONG = _list(
    """excellent, wonderful, amazing, brilliant, perfect, outstanding, delightful, terrific, fabulous, marvellous, awesome,
    incredible, superb, exceptional, magnificent, splendid, first-class, awful, terrible, horrible, dreadful, atrocious,
    appalling, abysmal, horrendous, rubbish, useless"""
)
"""Those of both that nothing is "very"."""
BETTER = _list(
    "better, nicer, stronger, more enjoyable, more impressive, more fun, more useful, smarter, more pleasant"
)
WORSE = _list("worse, weaker, duller, more boring, more annoying, more disappointing, uglier, more frustrating")
VERY = _list("very, really, so, truly, extremely, absolutely, quite, incredibly, pretty, just, simply, totally")
TOO_MUCH = _list("that, very, particularly, really, especially, exactly, all that, at all, terribly, so")
LIKE = _list("like, enjoy, love, recommend, appreciate, care for, understand the love for, see the appeal of")
LIKED = _list(
    "liked, enjoyed, loved, adored, appreciated, was impressed by, was delighted with, was happy with, was a fan of"
)
HATED = _list(
    """hated, disliked, regretted, was let down by, was disappointed by, was annoyed by, was bored by, got tired of,
    could not stand, was unhappy with, was not happy with, did not get along with"""
)
HATE = _list("hate, dislike, regret, mind, have any trouble with, have a bad word to say about, have any problem with")
GLAD = _list(
    """I am very happy with it, I would do it again, I love it, I will be back, I am so glad, it made my day,
    I tell all my friends about it, I smile every time, it is worth every penny, money well spent, well worth the time,
    I could not be happier, I want more, a real treat, it has everything I need, what a pleasure, highly recommended,
    two thumbs up, a real joy, I cannot recommend it enough, it exceeded my expectations, you should try it too,
    everyone was thrilled, it is my new favourite, I was pleasantly surprised, it could not have been better,
    a must for everyone, I was hooked at once, it is a gem"""
)
SORRY = _list(
    """I want my money back, I regret it, never again, do not waste your time, stay away, I would not do it again,
    save your money, what a waste, a waste of money, a total waste of time, I gave up, I was fed up, so disappointed,
    a complete let-down, it was a big mistake, I am very unhappy, it is not worth it, look elsewhere, I expected more,
    I will not be back, what a mess, a disaster, I feel cheated, it is a rip-off, I cannot recommend it, what a shame,
    two thumbs down, it ruined my day, it was torture, do not fall for it, not worth a penny, it is a joke"""
)
MISFORTUNES = _list(
    """it is broken again, nobody answered, it failed after an hour, we had to wait for ages, it made everything worse,
    it cost twice as much, it was ruined, they forgot all about us, it had gone wrong once more, it does nothing,
    nobody knew anything, it was sold out and late, it was over before anything happened, another bill"""
)
CHEERS = _list("great, wonderful, fantastic, lovely, brilliant, perfect, how nice, well done, amazing, super")
OTHERS = _list(
    """the old one, the last one, all the others, what I had before, its rivals, my first one, the usual, the one next door,
    the competition, the older version, the first part, the one from my youth, the cheap one, my neighbour's"""
)
HAPPY_EMOJI = _list(
    """😀, 😃, 😄, 😁, 😆, 😂, 🤣, 😊, 😇, 🙂, 😉, 😍, 🥰, 😘, 😋, 😎, 🤩, 🤗, 👍, 👏, 🙌, 👌, 💪, ❤,
    💕, 💖, 💗, 💓, 💞, 💙, 💚, 💛, 💜, 🖤, ♥, ❣, 🔥, ✨, 🌟, ⭐, 💯, 🎉, ✅, ✔, 😌, 😜, 💐, 🌹,
    🌈, 🍀, ☺, 😻, 🙏, 💃"""
)
SAD_EMOJI = _list(
    """😒, 😞, 😔, 😟, 😕, 🙁, ☹, 😣, 😖, 😫, 😩, 😢, 😭, 😤, 😠, 😡, 🤬, 😱, 😥, 😓, 🙄, 😑, 😐, 😬,
    🤢, 🤮, 🤦, 👎, 💔, 💩, 🥱, 😴, ❌, ⚠, 🗑, 😪, 😳, 🤡, 💀"""
)


@dataclass(frozen=True)
class Subject:
    """What plain sentences can be about."""

    things: tuple[str, ...]
    """What is judged: after "the" and "this"."""
    sides: tuple[str, ...]
    """Parts and sides of it: after "the"."""
    praise: tuple[str, ...]
    """Sentences without a subject's name that praise."""
    blame: tuple[str, ...]
    """The same for complaints."""
    after: tuple[str, ...]
    """When one judged: ends of sentences that say nothing of good or bad."""


SUBJECTS = {
    "film": Subject(
        _list("film, movie, show, series, documentary, comedy, thriller, cartoon, drama, episode, remake, picture"),
        _list("acting, story, script, music, ending, dialogue, cast, humour, directing, characters, effects, pace"),
        _list(
            """I was glued to the screen, the whole family cheered, I cried happy tears, it kept me guessing until the end,
            every minute was worth it, the actors shine, I laughed so hard, it stayed with me for days, we clapped,
            the jokes land every time, full of heart, it flew by, not a dull moment, never a dull minute, I was spellbound"""
        ),
        _list(
            """I fell asleep, I kept looking at my watch, the jokes fall flat, I turned it off, the actors look lost,
            it drags on and on, I have no idea what it was about, everything about it is fake, full of holes,
            we left before the end, it was a chore to finish, it has no point, nothing happens, I lost interest"""
        ),
        _list("last night, on the plane, with my sister, twice, at the cinema, on television, yesterday"),
    ),
    "product": Subject(
        _list(
            """product, phone, camera, chair, lamp, jacket, laptop, charger, toaster, mattress, backpack, speaker, pen,
            coffee machine, pair of shoes, keyboard, bottle, table, dress, toy, screen, watch strap, drill, fan"""
        ),
        _list("quality, price, colour, design, size, packaging, delivery, finish, material, manual, sound, fit"),
        _list(
            """it arrived early and works like new, it fits like a glove, it does what it says, easy to use, it is sturdy,
            it made my life easier, a bargain, I bought a second one, it still works after years, built to last,
            it charges fast, very good value, my daughter adores it, it is as good as new, no trouble so far"""
        ),
        _list(
            """it arrived broken, it tore at once, it does not fit, the button came off, it does not turn on,
            I sent it back, it got hot and died, cheap plastic, half of the parts were missing, it leaks, it squeaks,
            the paint came off, it scratches easily, the seller did not reply, it does not do what it says, it smells"""
        ),
        _list("for my son, last month, online, as a gift, on sale, for the kitchen, a year ago"),
    ),
    "hotel": Subject(
        _list("hotel, room, hostel, resort, apartment, place, bed and breakfast, guest house, suite, motel"),
        _list("staff, service, location, view, breakfast, bathroom, bed, reception, pool, parking, shower, air"),
        _list(
            """the staff were kind and helpful, we slept like babies, everything was clean, they upgraded us for free,
            we felt at home, quiet and close to the beach, they thought of everything, we did not want to leave,
            the host was a star, great value for the money, lovely garden, they even baked us a cake"""
        ),
        _list(
            """the room was dirty, the staff were rude, there was mould in the bathroom, the sheets were stained,
            it was noisy all night, they charged us extra, the heating did not work, we found bugs in the bed,
            nobody was at the desk, we left a day early, the photos lie, it smelled of damp, the tap dripped all night"""
        ),
        _list("for one night, in May, with the kids, on business, for our anniversary, for a week"),
    ),
    "food": Subject(
        _list(
            "restaurant, meal, dinner, cafe, lunch, sandwich, curry, coffee, sushi, dessert, bakery, takeaway, fish, bread"
        ),
        _list("food, taste, service, portions, menu, waiter, sauce, vegetables, prices, meat, atmosphere, wine"),
        _list(
            """it melted in the mouth, we licked the plates, cooked to perfection, full of flavour, huge portions,
            the waiter was so attentive, we will come again, tasty and fresh, I could eat it every day, so yummy,
            the smell alone is worth it, crisp and juicy, they know how to cook, everyone wanted seconds"""
        ),
        _list(
            """it was burnt, it was cold, it tasted of nothing, tiny portions, the waiter was rude, it made me sick,
            overcooked and dry, it was stale, far too salty, they got the order wrong, greasy and bland, the fish was off,
            we sent it back, it came an hour late, the kitchen was filthy, I had to throw it away"""
        ),
        _list("on Sunday, with friends, at noon, for two, near the station, for my birthday"),
    ),
    "app": Subject(
        _list("app, game, website, update, program, service, software, tool, player, browser, map, feature"),
        _list("design, search, login, support, speed, sound, interface, subscription, layout, menu, sync, screen"),
        _list(
            """it just works, easy to set up, fast and reliable, I use it all the time, so handy, the support was helpful,
            clear and well made, it keeps getting better, no crashes so far, a life saver, it does one thing well,
            my children learn a lot with it, I would pay for it, it runs smoothly"""
        ),
        _list(
            """it freezes, it keeps crashing, it lost all my data, it does not load, full of bugs, I cannot log in,
            it is slow, it asks for money all the time, I deleted it, it will not open, they took away the best part,
            support never answers, it keeps logging me out, it is full of adverts, it forgets my settings"""
        ),
        _list("on my tablet, since the update, every day, at work, on the train, for a month"),
    ),
}
