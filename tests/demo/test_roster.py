"""The zip that the demo writes is one that the importer takes whole, in both versions."""

from collections import Counter

import pytest

from demo.district import District
from demo.partners import FIRST_DAY
from demo.roster import Version, zipped
from services.consent.roster.students import read


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_the_importer_takes_every_student_and_reports_nothing(
    boston: District, version: Version
) -> None:
    found = read(zipped(boston, version), [school.source for school in boston.schools], FIRST_DAY)
    assert found.findings.listed == []
    assert (found.version, found.whole, len(found.present)) == (version, True, 57_000)
    wanted = {
        student.source: (
            student.school,
            student.given,
            student.family,
            student.birth,
            student.grade,
            student.language,
            tuple(sorted(guardian.source for guardian in student.guardians)),
        )
        for student in boston.students
    }
    taken = {
        student.source: (
            student.school,
            student.given,
            student.family,
            student.birth_date,
            student.grade,
            student.language,
            tuple(sorted(guardian.source for guardian in student.guardians)),
        )
        for student in found.students()
    }
    assert taken == wanted


def test_relations_arrive_as_they_were_written(boston: District) -> None:
    schools = [school.source for school in boston.schools]
    found = read(zipped(boston), schools, FIRST_DAY)
    wanted = Counter(g.relation for student in boston.students for g in student.guardians)
    taken = Counter(g.relation for student in found.students() for g in student.guardians)
    assert taken == wanted


def test_the_same_people_give_the_same_bytes(boston: District) -> None:
    assert zipped(boston) == zipped(boston)
