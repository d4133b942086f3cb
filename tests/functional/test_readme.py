"""The newcomer's first run, and the documents that are made from the code."""
import re
import subprocess
import sys
from pathlib import Path

from tests.services.command_line import CommandLine

ROOT = Path(__file__).parent.parent.parent


def test_demo_shows_what_it_promises(occystrap: CommandLine, tmp_path: Path) -> None:
    shown = occystrap('demo', '--folder', str(tmp_path / 'a demo')).assert_success().out
    verdicts = re.findall(r'(\d/1 verified(?:, 1 FAILED)?)\n', shown)
    assert verdicts == ['1/1 verified', '1/1 verified', '1/1 verified', '1/1 verified', '0/1 verified, 1 FAILED',
                        '0/1 verified, 1 FAILED']
    assert str(tmp_path / 'a demo') in shown.splitlines()[-1]
    assert (tmp_path / 'a demo/mirror/manifest.json').exists() and (tmp_path / 'a demo/sample.tar').exists()


def test_command_reference_is_current() -> None:
    code = 'import tools.command_reference as made; import sys; sys.stdout.write(made.reference())'
    made = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made == (ROOT / 'docs/command-reference.md').read_text(), 'run python tools/command_reference.py'


def test_links_in_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')]:
        for target in re.findall(r'\]\(([^)#:]+)\)', document.read_text()):
            assert (document.parent / target).exists(), f'{document.name} links to {target}'
