"""Alphabets of phones, a file each: a table, and a parser of one symbol."""

from cleser.phonetics.alphabets.symbol import Symbol

__all__ = ["Symbol"]
