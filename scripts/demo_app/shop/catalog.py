"""Articles, as a shop would load them from its data base."""

from dataclasses import dataclass, field

ARTICLES = {}


@dataclass
class Article:
    number: int
    title: str
    price: float
    tags: list = field(default_factory=list)


def load(count):
    for number in range(count):
        ARTICLES[number] = Article(number, f"article {number}", number / 100, [f"tag-{number % 50}"])
