"""``clawback serve``: everything of one machine with one command."""

import click


@click.command()
def serve() -> None:
    """Serve until Ctrl-C: hosted FTP, Web Services, sources, Prefect with its UI, the dispatcher and the schedules.

    With smtp.domain set it is also the e-mail inbox of that domain.

    Everything listens on the loopback unless the settings say otherwise, and nothing calls the internet. What waits
    is taken up at once; killing it at any moment and starting it again loses and doubles nothing.

    Each part is a process; one that dies, or hangs at its start, is started anew. SIGUSR1 makes a part say in the log
    what its threads are doing; serve.json in the state folder has the process ids.

    \b
    Example:
      clawback serve
      CLAWBACK_STATE=/srv/clawback CLAWBACK_FTP_PORT=0 CLAWBACK_WEB_SERVE=off clawback serve
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.cli.running import settings
    from clawback.serve import serve as run

    run(settings(), click.echo)
