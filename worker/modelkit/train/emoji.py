"""The emoji that the vocabulary has: the hundred that are used most, and others that say what somebody thinks."""

from __future__ import annotations

_EMOJI = """
😂 ❤ 😍 🤣 😊 🙏 💕 😭 😘 👍 😅 👏 😁 ♥ 🔥 💔 💖 💙 😢 🤔 😆 🙄 💪 😉 ☺ 👌 🤗 💜 😔 😎 😇 🌹 🤦 🎉 💞 ✌ ✨ 🤷 😱 😌
🌸 🙌 😋 💗 💚 😏 💛 🙂 💓 🤩 😄 😀 🖤 😃 💯 🙈 👇 🎶 😒 🤭 ❣ 😜 💋 👀 😪 😑 💥 🙋 😞 😩 😡 🤪 👊 ☀ 😥 🤤 👉 💃 😳 ✋
😚 😝 😴 🌟 😬 🙃 🍀 🌷 😻 😓 ⭐ ✅ 🌈 😈 🤘 💦 ✔ 😣 🏃 💐 👎 🤢 🤮 💩 😤 😠 🤬 🥰 😐 😕 ☹ 🙁 😟 😖 😫 🤡 🥱 🥲 🤯 💀
🗑 ⚠ ❌ 🍿 🎬
"""
COMMON_EMOJI = tuple(_EMOJI.split())
"""Each is a piece with and without a variation selector; its embedding is that of the words of its Unicode name."""
VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"
"""What may follow an emoji and says that it is to be drawn in colour."""
SKIN_TONES = tuple(chr(0x1F3FB + tone) for tone in range(5))
"""What may follow a hand or a person."""
