"""A word index over the catalog."""

from collections import defaultdict

INDEX = defaultdict(set)


def build(articles):
    for article in articles.values():
        for word in article.title.split() + article.tags:
            INDEX[word].add(article.number)
