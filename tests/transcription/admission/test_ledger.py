"""The ledger: the limit holds at every moment, and everybody gets on."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from asr.transcription.admission.ledger import MIN_SAMPLES, AudioAccount, AudioLedger

SECOND = MIN_SAMPLES
BLOCK = 10 * SECOND
WINDOW = 30 * SECOND
WORKING_SET = WINDOW + BLOCK


@dataclass
class Recording:
    """Decodes and cuts a recording as requests do, one block with each step."""

    account: AudioAccount
    left: int  # samples that are not decoded yet
    uncut: int = 0
    sizes: list[int] = field(default_factory=list)  # of the windows, in samples
    is_refused: bool = False

    @property
    def has_ended(self) -> bool:
        return self.is_refused or not (self.left or self.uncut or self.sizes)

    def decode(self, share: int) -> bool:
        """Decode a block and cut what is complete; return False if it must wait."""
        if not self.left or not self.account.set_aside(BLOCK, len(self.sizes) < share):
            return False
        block = min(BLOCK, self.left)
        self.left -= block
        self.uncut += block
        is_complete = self.uncut > WINDOW
        has_room = self._count() and (not is_complete or self.account.lengthen(WORKING_SET))
        self.is_refused = not has_room
        if has_room and is_complete:
            self._cut(WINDOW)
        if has_room and not self.left:
            self._cut(self.uncut)
            self.account.complete()
        return True

    def read(self) -> None:
        self.sizes.pop(0)
        assert self._count()

    def _count(self) -> bool:
        return self.account.hold(self.uncut + sum(self.sizes))

    def _cut(self, samples: int) -> None:
        self.uncut -= samples
        self.sizes.append(samples)


def check(ledger: AudioLedger, accounts: list[AudioAccount]) -> None:
    assert ledger.taken == sum(account.taken for account in accounts)
    assert all(account.held <= account.taken for account in accounts)
    having = [account for account in accounts if account.taken]
    assert ledger.taken <= ledger.limit or len(having) == 1
    long = [account.taken for account in having if account.is_long]
    assert len(long) <= 1 or sum(long) <= 0.75 * ledger.limit


@settings(max_examples=30)
@given(
    limit=st.integers(20, 300),
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=8),
    share=st.integers(1, 6),
    choose=st.randoms(use_true_random=False),
)
def test_the_limit_holds_at_every_moment_and_whoever_is_admitted_comes_to_the_end(
    limit, lengths, share, choose
):
    ledger = AudioLedger(limit * SECOND)
    recordings: list[Recording] = []
    to_come = [length * SECOND for length in lengths]
    while to_come or not all(each.has_ended for each in recordings):
        moved = False
        if to_come and choose.random() < 0.3:
            length, moved = to_come.pop(), True
            if not ledger.is_full:
                recordings.append(Recording(ledger.open(), length))
        for each in choose.sample(recordings, len(recordings)):
            if each.sizes and choose.random() < 0.5:
                each.read()
                moved = True
            elif not each.has_ended:
                moved |= each.decode(share)
            if each.has_ended:
                each.account.close()
            check(ledger, [each.account for each in recordings])
        assert moved or to_come or any(each.sizes for each in recordings), "everybody waits"
    assert ledger.taken == ledger.held == 0


def test_long_requests_leave_a_quarter_to_short_ones():
    ledger = AudioLedger(400 * SECOND)
    long = [ledger.open() for _ in range(10)]
    taken = [account.hold(WORKING_SET) and account.lengthen(WORKING_SET) for account in long]
    assert taken == [True] * 7 + [False] * 3  # 280 s of 300
    for account in long[7:]:
        account.close()
    assert long[0].set_aside(2 * BLOCK, may_go_ahead=True)  # the last of them
    long[0].hold(WORKING_SET + 2 * BLOCK)
    assert not long[0].set_aside(BLOCK, may_go_ahead=True)
    short = ledger.open()
    assert short.hold(100 * SECOND)
    assert not short.hold(101 * SECOND)
    assert short.held == 100 * SECOND


def test_whoever_waits_to_go_ahead_is_told_when_there_is_room():
    ledger = AudioLedger(200 * SECOND)
    first, second, third = (ledger.open() for _ in range(3))
    for account in (first, second, third):
        account.hold(WORKING_SET)
        assert account.lengthen(WORKING_SET)
    assert first.set_aside(3 * BLOCK, may_go_ahead=True)
    assert not second.set_aside(BLOCK, may_go_ahead=True)
    assert not third.set_aside(BLOCK, may_go_ahead=True)
    first.set_aside(2 * BLOCK, may_go_ahead=True)
    assert second.changed.is_set()  # for one of them there is room, and it came first
    assert not third.changed.is_set()
    assert second.set_aside(BLOCK, may_go_ahead=True)
    first.close()
    assert third.changed.is_set()


def test_a_request_that_is_alone_has_room_for_its_working_set_whatever_the_limit():
    ledger = AudioLedger(5 * SECOND)
    alone = ledger.open()
    assert alone.hold(WORKING_SET)
    assert alone.lengthen(WORKING_SET)
    assert not alone.set_aside(BLOCK, may_go_ahead=True)
    assert ledger.is_full
    alone.close()
    assert not ledger.is_full


def test_a_request_without_audio_counts_for_one_second():
    ledger = AudioLedger(3 * SECOND)
    for count in (1, 2, 3):
        assert not ledger.is_full
        ledger.open()
        assert ledger.held == ledger.taken == count * SECOND
    assert ledger.is_full


def test_what_is_decoded_counts_until_its_result_is_taken():
    ledger = AudioLedger(100 * SECOND)
    account = ledger.open()
    account.hold(25 * SECOND)
    assert ledger.held == 25 * SECOND
    account.complete()
    assert ledger.held == ledger.taken == 25 * SECOND
    account.hold(5 * SECOND)
    assert ledger.held == ledger.taken == 5 * SECOND
    account.hold(0)
    assert ledger.held == ledger.taken == 0
