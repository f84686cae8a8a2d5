"""The input folder: what is taken, once, and what becomes of the file."""

import os
import tracemalloc
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from crm_assets.bronze.manychat_inbox import arrivals, look, settled
from crm_assets.bronze.receiving import (
    HOTMART_CSV,
    MAX_BYTES,
    UnknownFile,
    find_received,
    forget_raw,
    put_away,
    raw_path,
    read_file,
    receive,
    receive_content,
)
from crm_assets.bronze.text_table import MAX_LINE_LENGTH, RefusedFile

TODAY = date(2026, 3, 15)


def take(inbox, path, day=TODAY, **more):
    return receive(path, inbox.settings, inbox.tenant, inbox.ops, day=day, **more)


def test_a_folder_that_is_not_there_is_empty(inbox):
    assert arrivals(inbox.folder / "nada") == []


def test_only_text_files_of_the_folder_itself_are_seen_in_their_order(inbox):
    for name in ("b.CSV", "a.csv", "c.tsv", "d.txt", "planilha.xlsx", ".oculto", "~$a.csv~"):
        inbox.drop(name)
    (inbox.folder / "acme").mkdir()
    (inbox.folder / "pasta.csv").mkdir()
    (inbox.folder / "acme" / "e.csv").write_text("email\n")
    assert [found.path.name for found in arrivals(inbox.folder)] == [
        "a.csv",
        "b.CSV",
        "c.tsv",
        "d.txt",
    ]


def test_a_file_is_settled_when_size_and_time_stand_still(inbox):
    still, growing, touched = (inbox.drop(f"{name}.csv") for name in "abc")
    before = look(arrivals(inbox.folder))
    growing.write_text("email\nana@example.com\nbia@example.com\n")
    os.utime(growing, ns=(0, touched.stat().st_mtime_ns))
    os.utime(touched, ns=(0, 1))
    inbox.drop("d.csv")
    assert [found.path for found in settled(arrivals(inbox.folder), before)] == [still]


def test_a_look_keeps_no_file_name(inbox):
    inbox.drop("Maria da Silva.csv")
    assert "Maria" not in str(look(arrivals(inbox.folder)))


def test_a_received_file_is_copied_privately_under_a_key_without_its_name(inbox):
    path = inbox.drop("Maria da Silva.csv")
    receipt = take(inbox, path)
    assert receipt.slice is not None
    assert receipt.slice.startswith("2026-03-15_")
    assert "Maria" not in receipt.slice
    copy = raw_path(inbox.settings, inbox.tenant, receipt.slice)
    assert copy.read_bytes() == path.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    (load,) = inbox.ops.loads("manychat")
    assert (load.status, load.file_name, load.slice) == (
        "received",
        "Maria da Silva.csv",
        receipt.slice,
    )


def test_the_same_content_under_two_names_is_one_partition(inbox):
    first, second = take(inbox, inbox.drop("a.csv")), take(inbox, inbox.drop("b.csv"))
    assert first.slice == second.slice
    assert len(inbox.ops.loads("manychat")) == 1


def test_a_received_content_keeps_its_partition_on_another_day(inbox):
    first = take(inbox, inbox.drop("a.csv"))
    assert take(inbox, inbox.drop("a.csv"), date(2026, 3, 16)).slice == first.slice


def test_a_landed_content_is_not_taken_again_and_leaves_the_folder_in_prd(inbox):
    receipt = take(inbox, inbox.drop("a.csv"))
    inbox.settle(receipt.slice, "landed")
    again = take(inbox, inbox.drop("outro nome.csv"))
    assert (again.slice, again.note, again.refused) == (None, "conteúdo já importado", False)
    assert [found.path.name for found in arrivals(inbox.folder)] == ["a.csv"]
    assert inbox.archived == [f"{receipt.slice}_outro nome.csv"]


def test_outside_prd_a_landed_content_stays_where_it_is(dev_inbox):
    receipt = take(dev_inbox, dev_inbox.drop("a.csv"))
    dev_inbox.settle(receipt.slice, "landed")
    assert take(dev_inbox, dev_inbox.drop("b.csv")).note == "conteúdo já importado"
    assert len(arrivals(dev_inbox.folder)) == 2


def test_a_landed_file_from_elsewhere_is_never_moved(inbox, tmp_path):
    receipt = take(inbox, inbox.drop("a.csv"))
    inbox.settle(receipt.slice, "landed")
    elsewhere = tmp_path / "meu.csv"
    elsewhere.write_text((inbox.folder / "a.csv").read_text())
    assert take(inbox, elsewhere).slice is None
    assert elsewhere.exists()


def test_a_refused_content_is_remembered_under_any_name_until_it_changes(inbox):
    receipt = take(inbox, inbox.drop("a.csv", "nada\n1\n"))
    inbox.settle(receipt.slice, "refused", "não tem coluna de contato")
    again = take(inbox, inbox.drop("b.csv", "nada\n1\n"))
    assert (again.slice, again.refused) == (None, True)
    assert again.note == "recusado antes: não tem coluna de contato"
    assert len(arrivals(inbox.folder)) == 2
    assert take(inbox, inbox.drop("a.csv", "email\nana@example.com\n")).slice is not None


def test_a_file_that_vanished_is_passed_over(inbox):
    receipt = take(inbox, inbox.folder / "a.csv")
    assert (receipt.slice, receipt.refused) == (None, True)
    assert inbox.ops.loads() == []


def test_after_the_import_the_file_moves_to_the_archive_in_prd(inbox):
    path = inbox.drop("a.csv")
    receipt = take(inbox, path)
    put_away(inbox.settings, inbox.tenant, inbox.settle(receipt.slice, "landed"))
    assert not path.exists()
    assert inbox.archived == [f"{receipt.slice}_a.csv"]
    (archived,) = (inbox.settings.store_folder("default") / "archive" / "manychat").iterdir()
    assert archived.stat().st_mode & 0o777 == 0o600


def test_after_the_import_the_file_is_copied_elsewhere(dev_inbox):
    path = dev_inbox.drop("a.csv")
    receipt = take(dev_inbox, path)
    put_away(dev_inbox.settings, dev_inbox.tenant, dev_inbox.settle(receipt.slice, "landed"))
    assert path.exists()
    assert dev_inbox.archived == [f"{receipt.slice}_a.csv"]


def test_a_file_that_changed_meanwhile_stays(inbox):
    path = inbox.drop("a.csv")
    receipt = take(inbox, path)
    path.write_text("email\nnova@example.com\n")
    put_away(inbox.settings, inbox.tenant, inbox.settle(receipt.slice, "landed"))
    assert path.exists()
    assert inbox.archived == []


def sparse(path, size, content=b""):
    """A file of that size whose holes take no room and read as zeros."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size)
    return path


def one_line(path):
    path.write_bytes(b"email,nome" + b"x" * (5 * MAX_LINE_LENGTH))
    return path


def piped(path):
    os.mkfifo(path)
    return path


def linked(path, target="a.csv"):
    path.symlink_to(path.with_name(target))
    return path


REFUSED = {
    "a gigabyte in one line": (
        lambda path: sparse(path, 2**30, b"email;nome"),
        f"mais de {MAX_BYTES // 2**20} MB, o limite",
    ),
    "a line without end": (one_line, f"uma linha com mais de {MAX_LINE_LENGTH} caracteres"),
    "bytes of nothing": (
        lambda path: sparse(path, 2**22, b"email\nana@example.com\n"),
        "bytes nulos",
    ),
    "a link": (linked, "é um atalho"),
    "a link to nowhere": (lambda path: linked(path, "nada.csv"), "é um atalho"),
    "a pipe": (piped, "não é um arquivo comum"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_contact_file_is_refused_unread_with_the_reason(inbox, make, reason):
    inbox.drop("a.csv")
    path = make(inbox.folder / "b.csv")
    assert [found.path.name for found in arrivals(inbox.folder)] == ["a.csv", "b.csv"]
    tracemalloc.start()
    receipt = take(inbox, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (receipt.slice, receipt.refused) == (None, True)
    assert receipt.note.startswith("recusado: O ")
    assert reason in receipt.note
    assert receipt.note.count(".") == 1
    assert peak < 8 * 2**20
    assert inbox.ops.loads() == []
    assert os.path.lexists(path)
    assert not (inbox.settings.store_folder("default") / "raw").exists()


def test_a_folder_is_no_file(inbox):
    with pytest.raises(RefusedFile, match="não é um arquivo comum"):
        read_file(inbox.folder)


def test_utf_16_has_zero_bytes_and_is_read(inbox):
    path = inbox.folder / "a.csv"
    path.write_bytes("email\nana@example.com\n".encode("utf-16"))
    assert take(inbox, path).slice is not None


def test_lines_within_the_limit_are_read_whatever_the_size(inbox):
    content = ("x" * (MAX_LINE_LENGTH - 1) + "\n") * 8
    assert read_file(inbox.drop("a.csv", content)) == content.encode()


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "", "2026-03-15_", "2026-03-15_0123456789ab/x"]
)
def test_a_partition_key_leads_nowhere_else(inbox, key):
    with pytest.raises(ValueError, match="A partição de um arquivo"):
        raw_path(inbox.settings, inbox.tenant, key)


def test_a_noted_file_name_leads_nowhere_else(inbox, tmp_path):
    outside = tmp_path / "fora.csv"
    outside.write_text("email\nana@example.com\n")
    receipt = take(inbox, outside)
    put_away(inbox.settings, inbox.tenant, inbox.settle(receipt.slice, "landed"))
    assert outside.exists()
    assert inbox.archived == []
    (load,) = inbox.ops.loads()
    named = os.path.relpath(outside, inbox.folder)
    put_away(inbox.settings, inbox.tenant, replace(load, file_name=named))
    folder = inbox.settings.store_folder("default")
    assert all(path.is_relative_to(folder) for path in folder.rglob("*.csv"))


def test_each_source_has_its_own_contents(inbox):
    path = inbox.drop("a.csv")
    contacts, sales = take(inbox, path), take(inbox, path, source=HOTMART_CSV)
    assert contacts.slice == sales.slice
    assert {load.source for load in inbox.ops.loads()} == {"manychat", "hotmart_csv"}


def undone(inbox, name="a.csv"):
    receipt = take(inbox, inbox.drop(name))
    load = inbox.settle(receipt.slice, "landed")
    forget_raw(inbox.settings, inbox.tenant, inbox.ops, load)
    return receipt.slice


def test_an_undone_content_comes_back_only_when_a_person_names_it(inbox):
    key = undone(inbox)
    assert not raw_path(inbox.settings, inbox.tenant, key).exists()
    path = inbox.drop("b.csv")
    again = take(inbox, path)
    assert (again.slice, again.refused) == (None, False)
    assert again.note == "desfeito antes; só volta quando importado por nome"
    assert path.exists()
    assert take(inbox, path, asked=True).slice == key
    assert raw_path(inbox.settings, inbox.tenant, key).exists()


def test_what_is_undone_twice_is_noted_once(inbox):
    undone(inbox)
    (load,) = inbox.ops.loads()
    forget_raw(inbox.settings, inbox.tenant, inbox.ops, load)
    assert inbox.ops.loads() == [load]


def test_a_landed_content_can_be_the_newest_again(inbox):
    receipt = take(inbox, inbox.drop("a.csv"))
    inbox.settle(receipt.slice, "landed")
    content = (inbox.folder / "a.csv").read_bytes()
    again = receive_content(
        content, "a.csv", inbox.settings, inbox.tenant, inbox.ops, day=TODAY, again=True
    )
    assert again.slice == receipt.slice
    assert [load.status for load in inbox.ops.loads()] == ["received"]


def test_an_import_is_found_by_partition_file_and_name(inbox, tmp_path):
    path = inbox.drop("a.csv")
    key = take(inbox, path).slice
    elsewhere = tmp_path / "outro nome.csv"
    elsewhere.write_bytes(path.read_bytes())
    for named in (key, path, elsewhere):
        assert find_received(str(named), inbox.ops).slice == key
    path.unlink()
    for named in ("a.csv", path, "qualquer/pasta/../a.csv", "../../a.csv"):
        assert find_received(str(named), inbox.ops).slice == key


def test_an_import_that_no_one_knows_is_told_by_its_name(inbox):
    take(inbox, inbox.drop("a.csv"))
    for named in ("b.csv", "../../../etc/passwd", "", "\0", "2026-03-15_0123456789ab"):
        with pytest.raises(UnknownFile, match=f"Nenhuma importação atende por {Path(named).name}"):
            find_received(named, inbox.ops)


def test_a_name_that_two_contents_had_is_told_with_their_partitions(inbox):
    first = take(inbox, inbox.drop("a.csv")).slice
    path = inbox.drop("a.csv", "email\nbia@example.com\n")
    second = take(inbox, path).slice
    assert find_received(str(path), inbox.ops).slice == second
    path.write_text("email\ncaio@example.com\n")
    with pytest.raises(UnknownFile, match=r"O conteúdo de a\.csv não foi importado") as unknown:
        find_received(str(path), inbox.ops)
    assert all(key in str(unknown.value) for key in (first, second))
    path.unlink()
    with pytest.raises(UnknownFile, match=r"Mais de uma importação atende por a\.csv"):
        find_received("a.csv", inbox.ops)


def test_the_source_tells_two_imports_of_one_file_apart(inbox):
    path = inbox.drop("a.csv")
    take(inbox, path)
    take(inbox, path, source=HOTMART_CSV)
    with pytest.raises(UnknownFile, match="--source"):
        find_received("a.csv", inbox.ops)
    assert find_received("a.csv", inbox.ops, HOTMART_CSV).source == HOTMART_CSV


def test_an_undone_import_is_found_when_nothing_else_is(inbox):
    key = undone(inbox)
    assert find_received("a.csv", inbox.ops).status == "undone"
    assert find_received(key, inbox.ops).status == "undone"
    inbox.drop("a.csv", "email\nbia@example.com\n")
    second = take(inbox, inbox.folder / "a.csv").slice
    (inbox.folder / "a.csv").unlink()
    assert find_received("a.csv", inbox.ops).slice == second
