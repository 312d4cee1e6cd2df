"""``aspects-node user``."""

from __future__ import annotations

from pathlib import Path

import click

from node.commands.shared import config_option, fail, read_config
from node.errors import ConfigError
from node.web.accounts import NAME, SHORTEST_PASSWORD, hash_password, read_users, write_users


@click.command()
@click.argument("name")
@click.option("--remove", is_flag=True, help="Take the user out.")
@config_option
def user(name: str, config_file: Path, *, remove: bool) -> None:
    """Let NAME log in to the pages: asks for a password, keeps its hash in web.users_file.

    A running node knows it at once. Exit code 1: there is no such user to take
    out, or the password is too short.
    """
    path = read_config(config_file).web.users_file
    if path is None:
        fail("web.users_file is not set in the configuration")
    if NAME.fullmatch(name) is None:
        fail("a name has letters, digits and _ . @ -, at most 64")
    try:
        users = read_users(path) if path.exists() else {}
    except ConfigError as error:
        fail(str(error))
    if remove:
        if users.pop(name, None) is None:
            fail(f"there is no user {name} in {path}", code=1)
    else:
        users[name] = hash_password(_ask())
    try:
        write_users(path, users)
    except OSError as error:
        fail(f"{path}: cannot be written ({error.strerror})")
    click.echo(f"{name} was taken out" if remove else f"{name} may log in")


def _ask() -> str:
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(password) < SHORTEST_PASSWORD:
        fail(f"a password has at least {SHORTEST_PASSWORD} characters", code=1)
    return password
