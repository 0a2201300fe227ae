"""What is known of a conversation of `connect` at its end: the facts that `model.conversation` judges.

Asks the descriptors what still waits in them, and changes nothing. Only an end that is not plainly a good one
needs this, so it is imported then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.conversation import Outcome
from ..model.patience import Ending

if TYPE_CHECKING:
    from ..blocking.conversation import Conversation


def outcome_of(conversation: Conversation, ending: Ending, *, name: str, limit_s: float) -> Outcome:
    """The facts after `conversation.run()` said `ending`; before anything is closed.

    `name` is how the server's address is written, `limit_s` the time limit that has passed, if one has.
    """
    inward, outward, source = conversation.inward, conversation.outward, conversation.source
    is_over = outward is None or outward.source_ended or outward.source_error is not None
    return Outcome(
        name=name,
        ending=ending,
        sent=conversation.channel.bytes_sent,
        held=outward.held if outward is not None else 0,
        waiting=0 if is_over or source is None else source.queued(),
        unwritten=_unwritten(conversation, ending),
        source_ended=outward is None or outward.source_ended,
        has_end=conversation.has_end,
        receive_errno=_errno(inward.source_error),
        send_errno=_errno(outward.sink_error) if outward is not None else 0,
        source_errno=_errno(outward.source_error) if outward is not None else 0,
        output_errno=_errno(inward.sink_error),
        too_long=outward.too_long if outward is not None else 0,
        max_record=outward.max_record_bytes if outward is not None else 0,
        limit_s=limit_s,
    )


def _unwritten(conversation: Conversation, ending: Ending) -> int:
    """What came from the peer and has not reached the output; after its failure nobody will read the rest."""
    output = conversation.output
    if output is None:
        return 0
    unread = conversation.channel.queued() if ending is Ending.OUTPUT else 0
    return conversation.inward.held + output.stranded() + unread


def _errno(error: OSError | None) -> int:
    return 0 if error is None else error.errno or 0
