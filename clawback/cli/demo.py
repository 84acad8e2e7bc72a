"""``clawback demo``: the main job on its own data."""

import click

from clawback.cli.running import DONE, TROUBLE, Outcome, told


@click.command()
@click.pass_context
@told
def demo(context: click.Context) -> Outcome:
    """Run the real parts on an empty store in a temporary folder, and tell what happens.

    A brand uploads files over FTPS: a clean one, a messy one, the same again, a broken upload, one just before a lock
    and one just after; it mails one, and leaves one on its own SFTP server. Ends by itself; exit code 0 only if
    everything is as it should be.

    \b
    Example:
      clawback demo
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.demo.story import tell
    from clawback.demo.tell import Teller

    teller = Teller(quiet=context.meta["as_json"])
    document = tell(teller)
    if teller.failed:
        return Outcome(document, f"\n{len(teller.failed)} of {len(teller.checks)} checks failed.", TROUBLE)
    return Outcome(document, f"\nAll {len(teller.checks)} checks hold.", DONE)
