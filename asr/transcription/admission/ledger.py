"""The decoded audio that all requests hold together, and who may decode more."""

from __future__ import annotations

import asyncio

from asr.pcm import SAMPLE_RATE

MIN_SAMPLES = SAMPLE_RATE  # A request without audio counts for so many samples: one second.
SHORT_SHARE = 0.25  # Long requests leave this share of the limit to short ones.


class AudioLedger:
    """Counts samples of decoded audio: those that are held and those that are set aside.

    All accounts together never have more than the limit. A request that is alone may have what
    it needs, whatever the limit. A request is short until it turns out to be longer than one
    window; from then on it always has its working set: enough to decode, cut and transcribe one
    window after the other. So a long request never waits for another one to go on, and what it
    decodes ahead beyond its working set is only what short requests leave.

    Args:
        limit: samples.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0  # samples of all accounts
        self.expected = 0  # requests whose head has come, those that have an account included
        self.long_accounts: set[AudioAccount] = set()
        self._accounts: set[AudioAccount] = set()
        self._taken_by_long = 0
        self._limit_of_long = limit - round(SHORT_SHARE * limit)
        self._waiting: dict[AudioAccount, int] = {}  # who waits, first come first → for how much

    @property
    def held(self) -> int:
        """Samples that are held; a request without any counts for MIN_SAMPLES."""
        return sum(account.counted for account in self._accounts)

    @property
    def is_full(self) -> bool:
        """Whether one more request is refused."""
        return bool(self._accounts) and self.taken + MIN_SAMPLES > self.limit

    @property
    def spoken_for(self) -> int:
        """Samples of all accounts, and of heads whose requests have none: MIN_SAMPLES each."""
        return self.taken + MIN_SAMPLES * max(0, self.expected - len(self._accounts))

    @property
    def is_spoken_for(self) -> bool:
        """Whether one more head is refused; the first one is not, whatever the limit."""
        return self.spoken_for > 0 and self.spoken_for + MIN_SAMPLES > self.limit

    def open(self) -> AudioAccount:
        """The account of a new request; `is_full` is to be asked before."""
        account = AudioAccount(self)
        self._accounts.add(account)
        self.move(account, MIN_SAMPLES)
        return account

    def fits(self, account: AudioAccount, more: int) -> bool:
        """Whether `account` may have `more` samples; if it is alone, it may."""
        return self.taken + more <= self.limit or self.taken == account.taken

    def fits_long(self, account: AudioAccount, more: int) -> bool:
        """Whether `account` may become a long one with `more` samples; the first one may."""
        after = self._taken_by_long + account.taken + more
        is_first = not self.long_accounts
        return (is_first or after <= self._limit_of_long) and self.fits(account, more)

    def fits_ahead(self, more: int) -> bool:
        """Whether a long account may have `more` samples beyond its working set."""
        return self.taken + more <= self.limit and self._taken_by_long + more <= self._limit_of_long

    def lengthen(self, account: AudioAccount) -> None:
        """Count `account` among the long ones from now on."""
        self.long_accounts.add(account)
        self._taken_by_long += account.taken

    def move(self, account: AudioAccount, taken: int) -> None:
        """Let `account` have `taken` samples."""
        change = taken - account.taken
        account.taken = taken
        account.most = max(account.most, taken)
        self.taken += change
        if account in self.long_accounts:
            self._taken_by_long += change
        if change < 0:
            self._wake()

    def wait(self, account: AudioAccount, more: int) -> None:
        """Let `account` know when there may be room for `more` samples ahead."""
        self._waiting.setdefault(account, more)

    def close(self, account: AudioAccount) -> None:
        self._accounts.discard(account)
        self._waiting.pop(account, None)
        self.move(account, 0)
        self.long_accounts.discard(account)

    def _wake(self) -> None:
        """Wake as many accounts as there is room for, those that wait longest first."""
        more = 0
        for account, wanted in list(self._waiting.items()):
            more += wanted
            if not self.fits_ahead(more):
                return
            del self._waiting[account]
            account.changed.set()


class AudioAccount:
    """The samples of one request: those that it holds, and those set aside for its next block."""

    def __init__(self, ledger: AudioLedger) -> None:
        self._ledger = ledger
        self._floor = MIN_SAMPLES  # samples that it has at least
        self.taken = 0  # samples, set by the ledger
        self.most = 0  # samples that it had at once
        self.held = 0  # samples that are decoded, and whose result nobody has taken yet
        self.is_long = False
        self.changed = asyncio.Event()  # there may be room for more

    @property
    def counted(self) -> int:
        """Samples that are held, or those that a request counts for before it has any."""
        return self.held if self.is_long else max(self.held, self._floor)

    def hold(self, samples: int) -> bool:
        """Set how many samples are held; return False, and change nothing, without room.

        A long account has set them aside before.
        """
        more = samples - self.taken
        if more > 0 and not self.is_long and not self._ledger.fits(self, more):
            return False
        released = max(0, self.held - samples)
        self.held = samples
        self._ledger.move(self, max(self._floor, samples, self.taken - released))
        return True

    def lengthen(self, working_set: int) -> bool:
        """Make the account a long one, with `working_set` samples; False without room."""
        if self.is_long:
            return True
        more = max(0, working_set - self.taken)
        if not self._ledger.fits_long(self, more):
            return False
        self.is_long = True
        self._floor = working_set
        self._ledger.lengthen(self)
        self._ledger.move(self, self.taken + more)
        return True

    def set_aside(self, samples: int, may_go_ahead: bool) -> bool:
        """Set `samples` aside for the next block of a long request; return False without room.

        A short one needs none: its blocks are counted, or refused, when they come.

        Args:
            may_go_ahead: whether it may have more than its working set; if there is no room for
                that now, `changed` is set as soon as there may be.
        """
        if not self.is_long:
            return True
        wanted = max(self._floor, self.held + samples)
        more = wanted - self.taken
        if more <= 0 or (may_go_ahead and self._ledger.fits_ahead(more)):
            self._ledger.move(self, wanted)
            return True
        self._ledger.move(self, max(self._floor, self.held))  # nothing is decoded meanwhile
        if may_go_ahead:
            self._ledger.wait(self, wanted - self.taken)
        return False

    def complete(self) -> None:
        """Keep only what is held: nothing more will be decoded."""
        self._floor = 0
        self._ledger.move(self, self.held)

    def close(self) -> None:
        """Give everything back."""
        self.held = 0
        self._ledger.close(self)
