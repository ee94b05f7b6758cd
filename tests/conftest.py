"""What every test finds: the rig's fixtures, and hypothesis without a clock."""

from hypothesis import settings

pytest_plugins = ["tests.rig.fixtures", "tests.rig.objects", "tests.rig.stores"]

# A deadline for each example measures the machine, not the code.
settings.register_profile("batchline", deadline=None, print_blob=True)
settings.load_profile("batchline")
