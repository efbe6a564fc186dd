"""A pretend web shop that holds about 400,000 objects, among them a cache that nobody empties."""
