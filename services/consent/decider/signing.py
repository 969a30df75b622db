"""Who may sign for a student today, and the facts that every answer leaves."""

from datetime import date

from libs.common.messages import Role
from services.consent.decider.commands import Decline, Grant, Narrow, Revoke
from services.consent.decider.refusals import refused
from services.consent.decider.states import (
    Answer,
    Asked,
    Case,
    Declined,
    Disputed,
    Ended,
    File,
    Open,
    Request,
    Unasked,
    entitled,
    own_name,
)
from services.consent.events import (
    Channel,
    ConsentAnswered,
    ConsentDisputed,
    Proof,
    Reply,
    Terms,
)

Words = Grant | Decline | Revoke
"""An answer with its proof."""


def signer_of(command: Words | Narrow) -> str:
    return command.signer or command.stamp.actor.sub


def check_signer(file: File, command: Words | Narrow) -> None:
    """Who signs decides for this student today, and is who asks, or staff who record it."""
    signer = signer_of(command)
    actor = command.stamp.actor
    if signer not in entitled(file, command.today, command.of_age):
        raise refused("not-entitled")
    if actor.sub == signer:
        return
    if actor.role in {Role.GUARDIAN, Role.STUDENT} or isinstance(command, Narrow):
        raise refused("not-entitled")
    if command.proof.channel is Channel.WEB:
        raise refused("not-on-web")


def check_day(file: File, command: Grant) -> None:
    """A yes counts from when it was signed: not tomorrow, and by somebody entitled that day."""
    signed_on: date = command.proof.signed_on
    if signed_on > command.today:
        raise refused("in-future")
    signer = signer_of(command)
    if signer != own_name(file.student) and signer not in entitled(file, signed_on, False):
        raise refused("not-entitled")


def answer_of(case: Case, signer: str) -> Answer | None:
    match case:
        case Unasked():
            return None
        case (
            Asked(request=request)
            | Disputed(request=request)
            | Declined(request=request)
            | Open(request=request)
            | Ended(request=request)
        ):
            return request.answers.get(signer)


def answer(command: Words, terms: Terms, reply: Reply) -> Answer:
    recorder = command.stamp.actor.sub
    proof: Proof = command.proof.model_copy(update={"recorder": recorder})
    return Answer(reply=reply, terms=terms, proof=proof)


def answered(student: str, request: Request, signer: str, said: Answer) -> ConsentAnswered:
    return ConsentAnswered(
        student=student,
        grant=request.grant,
        referral=request.referral,
        signer=signer,
        reply=said.reply,
        terms=said.terms,
        proof=said.proof,
    )


def disputed(student: str, request: Request) -> ConsentDisputed:
    return ConsentDisputed(student=student, grant=request.grant, referral=request.referral)
