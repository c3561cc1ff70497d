"""What the tests of `imgkit vm` share: libvirt's mock, and how a refusal looks."""

from tests.cli.command import assert_refused

MOCK = ("--connect", "test:///default", "--no-console")


def refused(home, *words, status, says, hint, **options):
    return assert_refused(home, "vm", *words, status=status, says=says, hint=hint, **options)
