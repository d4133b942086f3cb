"""The policy keeps the rules for policies, and says what is wrong with an image."""
from collections.abc import Sequence
from pathlib import Path

import pytest

from occystrap_core import Receipt, UsageError, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_core.testing.policy_conformance import PolicyConformance, receipt_of

SMALL, LARGE, DENIED = {'a': 100, 'b': 200}, {'a': 100, 'b': 1000}, {'a': 100, 'old-base': 1}


class TestSizeLimit(PolicyConformance):
    plugin = 'occystrap_sizelimit.plugin'

    @pytest.fixture(autouse=True)
    def _policy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.denied = tmp_path / 'denied'
        self.denied.write_text(f'# layers that nobody mends any more\n{Digest.of(b"old-base")}  # 2019\n')
        monkeypatch.setenv('OCCYSTRAP_SIZELIMIT', '1K')
        monkeypatch.setenv('OCCYSTRAP_SIZELIMIT_DENIED', str(self.denied))

    def accepted(self) -> Sequence[Receipt]:
        """Images within the limit."""
        return [receipt_of(SMALL), receipt_of({}), receipt_of({'a': 1024}, scheme='registry')]

    def refused(self) -> Sequence[Receipt]:
        """One that is too large, and one on a denied base."""
        return [receipt_of(LARGE), receipt_of(DENIED)]

    def test_errors_say_what_is_wrong(self) -> None:
        for receipt, words in ((receipt_of(LARGE), '1100 bytes'), (receipt_of(DENIED), str(Digest.of(b'old-base')))):
            error, = self.errors(receipt, VerifyLevel.FAST)
            assert words in error and 'OCCYSTRAP_SIZELIMIT' in error

    def test_a_layer_of_unknown_size_lets_nothing_pass(self) -> None:
        error, = self.errors(receipt_of({'a': 100, 'b': -1}), VerifyLevel.FULL)
        assert 'does not say how large the layers are' in error

    def test_without_settings_nothing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv('OCCYSTRAP_SIZELIMIT')
        monkeypatch.delenv('OCCYSTRAP_SIZELIMIT_DENIED')
        assert self.observe(receipt_of(LARGE), VerifyLevel.FULL) is None

    @pytest.mark.parametrize('text', ['much', '-1'])
    def test_a_limit_that_is_no_size_lets_nothing_pass(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv('OCCYSTRAP_SIZELIMIT', text)
        with pytest.raises(UsageError, match='OCCYSTRAP_SIZELIMIT='):
            self.observe(receipt_of(SMALL), VerifyLevel.FAST)

    def test_a_list_that_cannot_be_read_lets_nothing_pass(self) -> None:
        for text in ('sha256:short\n', None):
            self.denied.write_text(text) if text else self.denied.unlink()
            with pytest.raises(UsageError, match='OCCYSTRAP_SIZELIMIT_DENIED='):
                self.observe(receipt_of(SMALL), VerifyLevel.FAST)
