"""Reactions: what follows from an event, as commands, timers, and calls to the outside."""

from whence.reactions.reaction import Reaction, reacts
from whence.reactions.then import Then

__all__ = ["Reaction", "Then", "reacts"]
