"""The emoji that the vocabulary has: the hundred that are used most, and others that say what somebody thinks.

Which are used most: Unicode Consortium, "Emoji Frequency", 2021, https://home.unicode.org/emoji/emoji-frequency/.
"""

from __future__ import annotations

import unicodedata

_EMOJI = """
😂 ❤ 😍 🤣 😊 🙏 💕 😭 😘 👍 😅 👏 😁 ♥ 🔥 💔 💖 💙 😢 🤔 😆 🙄 💪 😉 ☺ 👌 🤗 💜 😔 😎 😇 🌹 🤦 🎉 💞 ✌ ✨ 🤷 😱 😌
🌸 🙌 😋 💗 💚 😏 💛 🙂 💓 🤩 😄 😀 🖤 😃 💯 🙈 👇 🎶 😒 🤭 ❣ 😜 💋 👀 😪 😑 💥 🙋 😞 😩 😡 🤪 👊 ☀ 😥 🤤 👉 💃 😳 ✋
😚 😝 😴 🌟 😬 🙃 🍀 🌷 😻 😓 ⭐ ✅ 🌈 😈 🤘 💦 ✔ 😣 🏃 💐 👎 🤢 🤮 💩 😤 😠 🤬 🥰 😐 😕 ☹ 🙁 😟 😖 😫 🤡 🥱 🥲 🤯 💀
🗑 ⚠ ❌ 🍿 🎬 🥺 🎂 🥳 🎈 🤞 🌞 🎊 🥵 💰 👑 🎁 🥴 👈 👋
"""
COMMON_EMOJI = tuple(_EMOJI.split())
"""Each is a piece with and without a variation selector; its embedding is that of the words of its Unicode name."""
VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"
"""What may follow an emoji and says that it is to be drawn in colour."""
SKIN_TONES = tuple(chr(0x1F3FB + tone) for tone in range(5))
"""What may follow a hand or a person."""
_PARTS = (
    "\N{ZERO WIDTH JOINER}",
    "\N{COMBINING ENCLOSING KEYCAP}",
    VARIATION_SELECTOR + "\N{COMBINING ENCLOSING KEYCAP}",
)
"""What emoji of several characters are made with: a woman who shrugs, a digit on a key."""


def emoji_pieces() -> list[str]:
    """All pieces for emoji: each with and without a variation selector, then what changes or joins them."""
    pictures = (*COMMON_EMOJI, "♀", "♂")
    return [form for emoji in pictures for form in (emoji, emoji + VARIATION_SELECTOR)] + [*SKIN_TONES, *_PARTS]


def words_of(piece: str) -> str:
    """The words that a piece of `emoji_pieces` stands for: those of its Unicode name."""
    return unicodedata.name(piece.removeprefix(VARIATION_SELECTOR)[0]).lower().replace(" sign", "")
