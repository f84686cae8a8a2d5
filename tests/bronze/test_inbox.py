"""The input folder: what is taken, once, and what becomes of the file."""

import os
from datetime import date

from crm_assets.bronze.manychat_inbox import arrivals, look, put_away, raw_path, receive, settled

TODAY = date(2026, 3, 15)


def take(inbox, path, day=TODAY):
    return receive(path, inbox.settings, inbox.tenant, inbox.ops, day=day)


def test_a_folder_that_is_not_there_is_empty(inbox):
    assert arrivals(inbox.folder / "nada") == []


def test_only_text_files_of_the_folder_itself_are_seen_in_their_order(inbox):
    for name in ("b.CSV", "a.csv", "c.tsv", "d.txt", "planilha.xlsx", ".oculto", "~$a.csv~"):
        inbox.drop(name)
    (inbox.folder / "acme").mkdir()
    (inbox.folder / "pasta.csv").mkdir()
    (inbox.folder / "acme" / "e.csv").write_text("email\n")
    (inbox.folder / "link.csv").symlink_to(inbox.folder / "a.csv")
    (inbox.folder / "quebrado.csv").symlink_to(inbox.folder / "nada.csv")
    os.mkfifo(inbox.folder / "tubo.csv")
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
