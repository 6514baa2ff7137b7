"""For all tests: a property takes as long as the machine needs, and prints how to run a failure again."""

from hypothesis import settings

settings.register_profile("steady", settings(), deadline=None, print_blob=True)
settings.load_profile("steady")
