# memsnap-test: full timeout=900
"""exact_test.py on more than a million objects, with chains a million deep."""

import exact_test
import harness


class ExactLarge(exact_test.Exact):
    count = 850000


del exact_test.Exact  # unittest would run it here, too
if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
