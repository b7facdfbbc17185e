"""Results are stored whole or not at all, under the hash of what made them."""

import pytest

from course_lib.grading.store import Store, key, write_atomically


def test_what_is_put_is_got(tmp_path):
    store, name = Store(tmp_path), key(b"job")
    assert store.get(name) is None
    assert name not in store
    store.put(name, b"result")
    assert store.get(name) == b"result"
    assert name in store


def test_different_jobs_have_different_keys():
    assert key(b"job") != key(b"job ")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "file"
    write_atomically(file, b"old")
    with pytest.raises(TypeError):
        write_atomically(file, "not bytes")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_first_of_two_writers_is_kept_where_that_is_asked(tmp_path):
    file = tmp_path / "seed"
    write_atomically(file, b"1", keep=True)
    write_atomically(file, b"2", keep=True)
    assert file.read_bytes() == b"1"
    assert list(tmp_path.iterdir()) == [file]
