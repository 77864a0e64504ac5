"""Names for containers without one: an adjective and a surname, as Docker makes them."""

from __future__ import annotations

ADJECTIVES = (
    "able", "brave", "calm", "clever", "eager", "fair", "gentle", "happy", "jolly", "keen", "kind", "lively", "merry",
    "nice", "patient", "proud", "quick", "quiet", "sharp", "silent", "steady", "swift", "tender", "vivid", "warm",
)  # fmt: skip
PEOPLE = (  # of UNIX and of computing
    "allman", "bourne", "corbato", "dijkstra", "goldberg", "hamilton", "hopper", "johnson", "joy", "kernighan", "knuth",
    "lions", "lovelace", "mcilroy", "ossanna", "perlman", "pike", "ritchie", "stallman", "stroustrup", "tanenbaum",
    "thompson", "torvalds", "turing", "viro", "wall",
)  # fmt: skip


def random_name(container_id: str) -> str:
    """Two words and four digits, all chosen by the id; the digits tell two containers with the same words apart."""
    number = int(container_id[:8], 16)
    return f"{ADJECTIVES[number % len(ADJECTIVES)]}_{PEOPLE[number // 97 % len(PEOPLE)]}_{container_id[8:12]}"
