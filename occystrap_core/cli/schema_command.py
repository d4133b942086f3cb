"""The command `schema`: the JSON schema of a plan, by which editors complete and check it."""
import click

from occystrap_core.terminal import print_json


@click.command('schema')
def schema() -> None:
    """Print the JSON schema of a plan, with which editors complete keys and show mistakes.

    \b
    occystrap schema > occystrap-plan.schema.json
    TOML: begin the plan with   #:schema ./occystrap-plan.schema.json
    YAML: begin the plan with   # yaml-language-server: $schema=./occystrap-plan.schema.json
    """
    from occystrap_core.sources.plan_keys import plan_schema
    print_json(plan_schema())
