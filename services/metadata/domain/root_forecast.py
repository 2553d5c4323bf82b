"""The next change of root, foreseen to its end: when it comes, and when the former root is gone.

A root signs for many CA periods, in which issuers come and go alike. Of whole periods before its
time nothing is gone through: the roots are taken to be that much older, and what is foreseen then
happens that much later.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, get_args

from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import RootStep, succession_due
from services.metadata.domain.roots import Root, Roots, RootState
from services.metadata.domain.rotation_forecast import Foreseen, foreseen
from services.metadata.domain.rotation_steps import Mint
from services.metadata.domain.steps_ahead import Taken, steps_ahead
from svc_core.domain.profiles import RotationProfile

_MOST_STEPS: Final = 200
_ROOT_STEPS: Final = get_args(RootStep)
_RUN_UP: Final = 2
"""CA periods gone through before the time of a root: what is unusual now is over by then."""


def forecast_roots(
    journal: Journal,
    fleet: Fleet,
    now: datetime,
    profile: RotationProfile,
    policy: SilencePolicy = SilencePolicy.QUORUM,
) -> tuple[Foreseen, ...]:
    """Return the steps of the change of root that is under way, or else of the next one.

    Besides the steps themselves there is the moment at which an intermediate is first made of the
    next root. Nothing is returned as long as no root is known.

    Args:
        journal: as it is.
        fleet: who is live; each is taken to follow at once.
        now: aware, UTC.
        profile: of the deployment.
        policy: what happens when somebody is silent.
    """
    if not journal.roots.known:
        return ()
    skipped = _uneventful(journal, now, profile)
    older = journal.with_roots(_aged(journal.roots, skipped))
    # As long as it takes to come to it, to use it, and to be rid of every issuer of the former one.
    until = now + (2 * _RUN_UP + 1) * profile.ca.period + profile.ca.validity
    ahead = steps_ahead(older, fleet, now, profile, policy, until=until)
    return tuple(
        replace(step, at=step.at + skipped) for step in _of_roots(islice(ahead, _MOST_STEPS))
    )


def _uneventful(journal: Journal, now: datetime, profile: RotationProfile) -> timedelta:
    """Return how many whole periods pass before anything about roots can change."""
    signing = journal.roots.signing
    if signing is None or _is_under_way(journal):
        return timedelta(0)
    periods = (succession_due(signing, profile) - now) // profile.ca.period - _RUN_UP
    return max(periods, 0) * profile.ca.period


def _aged(roots: Roots, by: timedelta) -> Roots:
    def older(root: Root) -> Root:
        end = None if root.not_after is None else root.not_after - by
        return replace(root, since=root.since - by, not_after=end)

    return replace(roots, known=tuple(older(root) for root in roots.known))


def _is_under_way(journal: Journal) -> bool:
    roots = journal.roots
    return roots.is_ordered or any(r.state is not RootState.SIGNING for r in roots.known)


def _of_roots(ahead: Iterable[Taken]) -> Iterator[Foreseen]:
    """Yield what is about roots, until there is one that signs and no other."""
    for taken in ahead:
        if isinstance(taken.step, _ROOT_STEPS):
            yield foreseen(taken)
            if not _is_under_way(taken.after):
                return
        elif isinstance(taken.step, Mint) and (root := _first_use(taken, taken.step.name)):
            yield Foreseen(taken.at, Mint.__name__, root, "it signs an intermediate, its first")


def _first_use(taken: Taken, name: str) -> str:
    """Return the root of the intermediate ``name`` if it is new and this is its first, else ""."""
    journal = taken.before
    root = journal.issuer(name).root
    has_signed = any(i.root == root for i in journal.issuers if i.not_after is not None)
    return "" if has_signed or not journal.roots.in_state(RootState.LEAVING) else root
