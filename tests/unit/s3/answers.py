"""Answers of S3 servers for tests: any status and code, an empty list of objects."""
from collections.abc import Callable

from tests.unit.registry.scripted import Request, Answer, Scripted

_XML = [('Content-Type', 'application/xml')]
EMPTY_LIST = Answer(200, b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                         b'<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>', _XML)
Answering = Answer | Callable[[Request], Answer]


def refusal(status: int, code: str, message: str = 'The reason.') -> Answer:
    """Return an answer with a code."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, body.encode(), _XML)


class S3Script(Scripted):
    """A server that answers as an S3 server, whatever it is asked for."""

    def always(self, *answers: Answering) -> None:
        """Give these answers, one after the other, and the last of them from then on."""
        self._left = list(answers)

    def answer(self, request: Request) -> Answer:
        """Return the next answer."""
        self.requests.append(request)
        answer = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return answer if isinstance(answer, Answer) else answer(request)
