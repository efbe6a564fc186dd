"""Sessions of visitors. CACHE is the leak: an entry is put in with every visit and never taken out."""

CACHE = {}


class Entry:
    __slots__ = ("session", "expires")

    def __init__(self, session, expires):
        self.session = session
        self.expires = expires


class Session:
    def __init__(self, visitor):
        self.visitor = visitor
        self.basket = [visitor % 997, visitor % 991]
        self.token = f"{visitor:032x}"


def visit(visitor):
    CACHE[f"sess:{visitor:08x}"] = Entry(Session(visitor), visitor + 3600.5)
