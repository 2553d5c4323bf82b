"""Whatever happens in whatever order, what must hold at every moment of a rotation holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.metadata.domain import rotation_steps as steps
from services.metadata.domain.ca_recovery import BARRIER, MOST_TRUSTED
from services.metadata.domain.ca_rotation import next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import REMOVABLE, SUCCESSOR, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import Hold, Step
from svc_core.domain.identity import GATEKEEPER, WATCHER, InstanceName
from svc_core.domain.status import InstanceStatus, ServerStatus
from tests.builders import DEMO, NOW, make_status
from tests.unit.metadata.journals import NODES

STEPS_TO_CONVERGE = 80
"""A whole rotation takes eight; from the worst state there are five tainted ones to put away."""
SOME = st.sets(st.integers(0, 2), max_size=2)


class Outage(Enum):
    """What can be away for a while."""

    NATS = "nobody's status can be read"
    OPENBAO = "nothing can be made or removed"
    MAKING = "what is planned now can never be made"


@dataclass
class Instance:
    """One service instance as it really is, whether or not anyone can see it."""

    name: str
    version: int = 0
    issuer: str = ""
    is_alive: bool = True


@dataclass
class Server:
    """One NATS server as Watcher sees it."""

    name: str
    version: int = 0
    issuer: str = ""
    error: str = "not verified yet"
    is_failing: bool = False
    is_judged: bool = False
    failed_at: int = 0


class Rotation(RuleBasedStateMachine):
    """The authority's plan against a fleet that is late, dies, comes back, and cannot be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.journal = Journal()
        self.instances = [Instance(f"g{n}") for n in range(3)]
        self.servers = [Server(name) for name in NODES]
        self.watcher = Instance("w1")
        self.outages: set[Outage] = set()
        self.impossible: set[str] = set()
        self.planned: set[str] = set()
        self.was_bootstrapped = False

    # --- the world ---

    def fleet(self) -> Fleet:
        """Return what the authority can see."""
        if Outage.NATS in self.outages:
            return Fleet(())
        live = [
            make_status(
                service=GATEKEEPER,
                instance=InstanceName(i.name),
                version=i.version,
                issuer=i.issuer,
                servers=(),
                connections={},
            )
            for i in self.instances
            if i.is_alive
        ]
        if self.watcher.is_alive:
            live.append(self._watcher_status())
        return Fleet(live)

    def _watcher_status(self) -> InstanceStatus:
        connections: dict[str, int] = {}
        for instance in self.instances:
            if instance.is_alive and instance.issuer:
                connections[instance.issuer] = connections.get(instance.issuer, 0) + 1
        return make_status(
            service=WATCHER,
            instance=InstanceName(self.watcher.name),
            version=self.watcher.version,
            issuer=self.watcher.issuer,
            servers=tuple(
                ServerStatus(s.name, s.version, s.issuer, s.error, s.failed_at)
                for s in self.servers
            ),
            connections=connections,
        )

    def trust(self, instance: Instance) -> None:
        if self.journal.active is not None and instance.is_alive:
            instance.version = self.journal.version

    def move(self, instance: Instance) -> None:
        self.trust(instance)
        if self.journal.active is not None and instance.is_alive:
            instance.issuer = self.journal.active.name

    def reload(self, server: Server) -> None:
        if self.journal.active is None or not self.watcher.is_alive:
            return
        if server.is_failing:
            server.error = "reload refused"
            server.failed_at = self.journal.version if server.is_judged else 0
        else:
            server.version, server.error, server.failed_at = self.journal.version, "", 0
            server.issuer = self.journal.active.name

    def all_follow_but(self, late: set[int]) -> None:
        for which, instance in enumerate(self.instances):
            self.trust(instance)
            if which not in late:
                self.move(instance)
        self.servers_follow()

    def servers_follow(self) -> None:
        self.move(self.watcher)
        for server in self.servers:
            self.reload(server)

    # --- what can happen ---

    @rule(seconds=st.floats(0.1, 10))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.the_authority_works()

    @rule(boundaries=st.integers(1, 5), late=SOME, asleep=SOME)
    def boundaries_pass(self, boundaries: int, late: set[int], asleep: set[int]) -> None:
        """Some trust in time but do not move; some sleep, and come back as they were."""
        for which in asleep:
            self.instances[which].is_alive = False
        for _ in range(boundaries):
            self.now = DEMO.ca.starts(DEMO.ca.current(self.now).next()) - DEMO.ca.lead
            self.the_authority_works()
            self.all_follow_but(late)
            self.the_authority_works()
            self.now += DEMO.ca.lead
            self.the_authority_works()
            self.all_follow_but(late)
            self.the_authority_works()
        for which in asleep:
            self.instances[which].is_alive = True

    @rule(epochs=st.integers(1, 50))
    @precondition(lambda self: Outage.OPENBAO in self.outages)
    def epochs_are_missed(self, epochs: int) -> None:
        self.now += epochs * DEMO.ca.period

    @rule(which=st.integers(0, 3), act=st.sampled_from(["trusts", "moves", "dies or comes back"]))
    def an_instance_acts(self, which: int, act: str) -> None:
        instance = (*self.instances, self.watcher)[which]
        match act:
            case "trusts":
                self.trust(instance)
            case "moves":
                self.move(instance)
            case _:
                instance.is_alive = not instance.is_alive

    @rule(which=st.integers(0, 2), fails=st.booleans(), is_judged=st.booleans())
    def a_server_is_reloaded(self, which: int, fails: bool, is_judged: bool) -> None:
        self.servers[which].is_failing = fails
        self.servers[which].is_judged = is_judged
        self.reload(self.servers[which])

    @rule()
    def everybody_follows(self) -> None:
        self.all_follow_but(set())

    @rule(outage=st.sampled_from(Outage))
    def an_outage_begins_or_ends(self, outage: Outage) -> None:
        self.outages ^= {outage}

    @rule(which=st.integers(0, 4))
    @precondition(lambda self: len(self.journal.trusted) > 0)
    def an_issuer_is_tainted(self, which: int) -> None:
        issuer = self.journal.trusted[which % len(self.journal.trusted)]
        if not issuer.is_tainted:
            self.journal = self.journal.tainted(issuer.name, now=self.now)
        self.the_authority_works()

    @rule()
    @precondition(lambda self: self.journal.way_back(self.now, life=DEMO.leaf_ttl) is not None)
    def an_operator_goes_back(self) -> None:
        target = self.journal.way_back(self.now, life=DEMO.leaf_ttl)
        assert target is not None
        self.take(steps.GoBack(target.name, "an operator says so"))
        self.the_authority_works()

    @rule()
    @precondition(lambda self: self.journal.active is not None)
    def an_operator_is_in_a_hurry(self) -> None:
        self.journal = self.journal.hurried()
        self.the_authority_works()

    def the_authority_works(self) -> None:
        for _ in range(STEPS_TO_CONVERGE):
            if not self.takes_a_step():
                return
        raise AssertionError(f"no rest without anybody else doing anything: {self.next_step()}")

    def teardown(self) -> None:
        """From any state: once everything answers, the present epoch's issuer becomes active."""
        self.outages.clear()
        for instance in (*self.instances, self.watcher):
            instance.is_alive = True
        for server in self.servers:
            server.is_failing = False
        self.converge()
        # What cannot be made is given up after a period, what failed is tried again after four at
        # most: the next attempt is at the next boundary then.
        for _ in range(6):
            self.now = DEMO.ca.starts(DEMO.ca.current(self.now).next()) - DEMO.ca.lead
            self.converge()
            self.now += DEMO.ca.lead
            self.converge()
        active = self.journal.active
        assert active is not None
        assert active.epoch == DEMO.ca.current(self.now).number
        assert self.journal.successor is None

    def converge(self) -> None:
        for _ in range(STEPS_TO_CONVERGE):
            self.everybody_follows()
            if not self.takes_a_step() and not self.is_waiting_for_the_barrier():
                return
        raise AssertionError(f"still not at rest: {self.next_step()}")

    def is_waiting_for_the_barrier(self) -> bool:
        """Let the three seconds pass for which flight from a tainted issuer waits."""
        if not isinstance(self.next_step(), Hold):
            return False
        self.now += BARRIER
        return True

    # --- the authority ---

    def next_step(self) -> Step | Hold | None:
        return plan(self.journal, self.fleet(), self.now, DEMO)

    def takes_a_step(self) -> bool:
        step = self.next_step()
        if step is None or isinstance(step, Hold):
            return False
        before = self.journal
        self.check_step(step)
        self.take(step)
        assert self.journal.version >= before.version
        assert self.journal.highest_epoch >= before.highest_epoch
        self.holds_at_every_moment()
        return self.journal is not before

    def check_step(self, step: Step) -> None:
        match step:
            case steps.Plan(epoch):
                assert epoch >= self.journal.highest_epoch
            case steps.Retire(name) | steps.Withdraw(name):
                self.check_end_of_trust(name)
            case steps.Remove(name):
                # Nothing leads back from there, so a process with an old view can delete it too.
                assert self.journal.issuer(name).state in REMOVABLE
            case steps.GoBack(name):
                issuer = self.journal.issuer(name)
                assert issuer.not_after is not None
                assert issuer.not_after - self.now > DEMO.leaf_ttl
                assert not issuer.is_tainted
            case steps.Activate(_, proven=False):
                self.check_unproven()

    def check_end_of_trust(self, name: str) -> None:
        """No live leaf of an untrusted issuer: its users, its life or its name is gone."""
        issuer = self.journal.issuer(name)
        assert issuer.state is not IssuerState.ACTIVE
        is_over = issuer.is_expired(self.now) or issuer.is_tainted or self.is_starting_over()
        assert is_over or not self.fleet().without(self.journal.fenced).users_of(name)

    def check_unproven(self) -> None:
        """Nobody was asked, so there was nothing left to lose, or nothing left to trust."""
        active = self.journal.active
        assert self.is_starting_over() or (active is not None and active.is_tainted)

    def is_starting_over(self) -> bool:
        active = self.journal.active
        end = None if active is None else active.not_after
        return end is None or end - self.now <= DEMO.skew

    def take(self, step: Step) -> None:
        journal, now = self.journal, self.now
        match step:
            case steps.Plan(epoch):
                self.journal = journal.planned(epoch, now=now)
                name = self.journal.issuers[-1].name
                assert name not in self.planned
                self.planned.add(name)
                if Outage.MAKING in self.outages:
                    self.impossible.add(name)
            case steps.MarkTrusted(name):
                self.journal = journal.moved(name, IssuerState.TRUSTED, now=now)
            case steps.Activate(name, proven, cut):
                is_refused = proven and any(s.version < journal.version for s in self.servers)
                self.journal = journal if is_refused else journal.activated(name, now=now, cut=cut)
            case steps.GoBack(name, _, fenced):
                epoch = DEMO.ca.current(now).number
                self.journal = journal.went_back(name, now=now, epoch=epoch, fenced=fenced)
            case steps.Unfence(servers):
                self.journal = journal.unfenced(servers)
            case steps.Mint(name) | steps.Remove(name) | steps.Silence(name):
                self.use_openbao(step, name)
            case _:
                self.put_away(step)

    def use_openbao(self, step: Step, name: str) -> None:
        if Outage.OPENBAO in self.outages:
            return
        if isinstance(step, steps.Remove):
            self.journal = self.journal.removed(name)
        elif isinstance(step, steps.Silence):
            self.journal = self.journal.silenced(name)
        elif name not in self.impossible:
            self.journal = self.minted(name)

    def put_away(self, step: Step) -> None:
        match step:
            case steps.MarkDrained(name):
                self.journal = self.journal.moved(name, IssuerState.DRAINED, now=self.now)
            case steps.Kick(name):
                self.journal = self.journal.with_kicked(name)
            case steps.Retire(name):
                self.journal = self.journal.retired(name, now=self.now)
            case steps.Withdraw(name):
                self.journal = self.journal.withdrawn(name, now=self.now)

    def minted(self, name: str) -> Journal:
        end: datetime = self.now + DEMO.ca.validity
        return self.journal.staged(
            name, pem=f"pem {name}", route_pem=f"route {name}", not_after=end, now=self.now
        )

    # --- what holds ---

    @invariant()
    def holds_at_every_moment(self) -> None:
        states = [i.state for i in self.journal.issuers]
        assert states.count(IssuerState.ACTIVE) == (1 if self.was_active() else 0)
        assert sum(state in SUCCESSOR for state in states) <= 1
        assert len(self.journal.trusted) <= MOST_TRUSTED
        assert len({i.name for i in self.journal.issuers}) == len(states)
        if self.journal.active is not None:
            assert self.journal.active in self.journal.trusted
        # Who is cut because of a tainted issuer is cut although that is trusted no more.
        assert set(self.journal.kicked) <= {
            i.name for i in self.journal.issuers if i in self.journal.trusted or i.is_tainted
        }
        if self.journal.active is not None:
            assert self.journal.active.name not in self.journal.kicked
        assert len(set(self.journal.kicked)) == len(self.journal.kicked)

    def was_active(self) -> bool:
        self.was_bootstrapped = self.was_bootstrapped or self.journal.active is not None
        return self.was_bootstrapped

    @invariant()
    @precondition(lambda self: self.next_step() is None)
    def nothing_to_do_means_nothing_before_the_deadline(self) -> None:
        deadline = next_deadline(self.journal, self.now, DEMO)
        almost = deadline - timedelta(microseconds=1)
        for moment in (self.now + (almost - self.now) / 2, almost):
            assert plan(self.journal, self.fleet(), moment, DEMO) is None


RotationTest = Rotation.TestCase
RotationTest.settings = settings(max_examples=30, stateful_step_count=40)
