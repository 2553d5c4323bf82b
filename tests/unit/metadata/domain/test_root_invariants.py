"""Whatever happens in whatever order, no issuer is trusted whose root is not."""

from datetime import timedelta
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.metadata.domain.issuers import REMOVABLE
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import (
    MOST_ROOTS,
    MakeRoot,
    PlanRoot,
    RemoveRoot,
    RetireRoot,
    RootStep,
    UseRoot,
    plan_roots,
    room_for_another,
)
from services.metadata.domain.roots import RootState
from services.metadata.domain.rotation_steps import Hold
from svc_core.domain.desired import TrustMode
from tests.builders import DEMO, NOW
from tests.unit.metadata.domain.test_rotation_invariants import Outage, Rotation

SHORT: Final = timedelta(minutes=3)
"""A first root that is at its end before any schedule says so."""


class RootedRotation(Rotation):
    """The same rotation with roots that come and go under it."""

    @initialize(mode=st.sampled_from(TrustMode), life=st.sampled_from([SHORT, DEMO.root_validity]))
    def a_root_is_found(self, mode: TrustMode, life: timedelta) -> None:
        roots = self.journal.roots.adopted(pem="root\n", key="k", not_after=NOW + life, now=NOW)
        self.journal = self.journal.with_roots(roots).with_trust_mode(mode)

    @rule()
    @precondition(
        lambda self: self.journal.roots.successor is None and room_for_another(self.journal)
    )
    def an_operator_wants_another_root(self) -> None:
        self.journal = self.journal.with_roots(self.journal.roots.ordered())
        self.the_authority_works()

    @rule(periods=st.integers(8, 12))
    @precondition(lambda self: not self.outages & {Outage.OPENBAO, Outage.MAKING})
    def a_roots_time_passes(self, periods: int) -> None:
        for _ in range(periods):
            self.boundaries_pass(1, set(), set())

    # --- the authority ---

    def next_root_step(self) -> RootStep | Hold | None:
        return plan_roots(self.journal, self.fleet(), self.now, DEMO)

    def takes_a_step(self) -> bool:
        step = self.next_root_step()
        if step is not None and not isinstance(step, Hold) and self.takes_root_step(step):
            self.holds_at_every_moment()
            self.every_trusted_issuer_has_a_trusted_root()
            return True
        return super().takes_a_step()

    def takes_root_step(self, step: RootStep) -> bool:
        if isinstance(step, MakeRoot | RemoveRoot) and Outage.OPENBAO in self.outages:
            return False
        journal, roots, now = self.journal, self.journal.roots, self.now
        match step:
            case PlanRoot():
                self.journal = journal.with_roots(roots.planned(now=now))
            case MakeRoot(name):
                version, end = journal.version + 1, now + DEMO.root_validity
                made = roots.staged(
                    name, pem=f"{name}\n", key=name, not_after=end, now=now, version=version
                )
                self.journal = journal.with_roots(made, version=version)
            case UseRoot(name):
                self.check_use(name)
                self.journal = journal.with_roots(roots.activated(name, now=now))
            case RetireRoot(name):
                version = journal.version + 1
                retired = roots.retired(name, now=now, version=version)
                self.journal = journal.with_roots(retired, version=version)
            case RemoveRoot(name):
                assert not any(i.root == name for i in journal.issuers if i.state not in REMOVABLE)
                self.journal = journal.with_roots(roots.removed(name))
        return True

    def check_use(self, name: str) -> None:
        """In mode ``chain``, whoever could be asked has it, or there was no time left to ask."""
        signing, active = self.journal.roots.signing, self.journal.active
        assert signing is not None
        assert signing.not_after is not None
        left = signing.not_after - self.now
        is_alive = active is not None and not active.is_expired(self.now)
        if self.journal.trust_mode is TrustMode.CHAIN and is_alive and left >= 2 * DEMO.ca.validity:
            assert not self.fleet().silent_below(self.journal.roots.root(name).version)

    def minted(self, name: str) -> Journal:
        end = self.journal.roots.root(self.journal.issuer(name).root).not_after
        assert end is not None
        if end - self.now < timedelta(seconds=10):
            return self.journal
        return self.journal.staged(
            name,
            pem=f"pem {name}",
            route_pem=f"route {name}",
            not_after=min(self.now + DEMO.ca.validity, end - timedelta(seconds=1)),
            now=self.now,
        )

    def teardown(self) -> None:
        """From any state: at last one root that lives long signs, and the former ones are gone."""
        super().teardown()
        signing = self.journal.roots.signing
        assert signing is not None
        assert signing.not_after is not None
        assert signing.not_after - self.now > DEMO.ca.validity
        assert not self.journal.roots.in_state(RootState.RETIRED)
        in_use = {i.root for i in self.journal.issuers} | {signing.name}
        assert {r.name for r in self.journal.roots.in_state(RootState.LEAVING)} <= in_use

    # --- what holds ---

    @invariant()
    def every_trusted_issuer_has_a_trusted_root(self) -> None:
        roots = self.journal.roots
        trusted = {root.name for root in roots.trusted}
        assert {issuer.root for issuer in self.journal.trusted} <= trusted
        assert len(trusted) <= MOST_ROOTS
        assert len(roots.in_state(RootState.SIGNING)) == (1 if roots.known else 0)
        assert len({root.name for root in roots.known}) == len(roots.known)

    @invariant()
    def no_issuer_outlives_its_root(self) -> None:
        for issuer in self.journal.trusted:
            end = self.journal.roots.root(issuer.root).not_after
            assert end is not None
            assert issuer.not_after is not None
            assert issuer.not_after < end


RootedRotationTest = RootedRotation.TestCase
RootedRotationTest.settings = settings(max_examples=25, stateful_step_count=30)
