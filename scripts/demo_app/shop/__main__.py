"""Fills the shop, says "ready", and then handles a visit now and then until its standard input is closed."""

import select
import sys
import threading

from shop import cart, catalog, search


def serve():
    visitor = len(cart.CACHE)
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        for _ in range(20):
            cart.visit(visitor)
            visitor += 1


def refresh_prices(stop):
    recent = list(catalog.ARTICLES.values())[:1000]
    while not stop.wait(1):
        for article in recent:
            article.price *= 1.0001


def main():
    catalog.load(20_000)
    search.build(catalog.ARTICLES)
    for visitor in range(50_000):
        cart.visit(visitor)
    stop = threading.Event()
    worker = threading.Thread(target=refresh_prices, args=(stop,), name="price-refresher")
    worker.start()
    print("ready", flush=True)
    serve()
    stop.set()
    worker.join()


main()
