"""ImageNet from folders and shards: the crops, the order, what is damaged or hostile."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import photographs_lab as lab
import pytest
from PIL import Image

from psp_hw.data import imagenet, photographs, shards
from psp_hw.data.crops import Crop, central, cropped, decoded, random_crop
from psp_hw.data.photographs import Photographs
from psp_hw.data.registry import load
from psp_hw.data.split import Split
from psp_hw.errors import DataError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    lab.write_folders(root / "imagenet", train=5, test=2)
    return root


@pytest.fixture(scope="module")
def packed(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    lab.write_shards(folders / "imagenet", root, per_shard=4)
    return root


def lazily(split: Split) -> Photographs:
    assert isinstance(split.images, Photographs)
    return split.images


def gradient(width: int, height: int) -> Image.Image:
    """A photograph whose red is its column and whose green is its row."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(width) % 256
    pixels[..., 1] = np.arange(height)[:, None] % 256
    return Image.fromarray(pixels)


# --- crops


def test_a_crop_of_its_own_size_is_those_very_pixels() -> None:
    crop = Crop(left=7, top=11, width=32, height=32, mirrored=False)

    pixels = cropped(gradient(100, 80), crop, 32)

    assert (pixels[0] == np.arange(7, 39)).all()
    assert (pixels[1] == np.arange(11, 43)[:, None]).all()


def test_a_mirrored_crop_runs_backwards() -> None:
    straight = Crop(left=7, top=11, width=50, height=20, mirrored=False)
    mirrored = Crop(left=7, top=11, width=50, height=20, mirrored=True)
    photograph = gradient(100, 80)

    assert (cropped(photograph, mirrored, 16) == cropped(photograph, straight, 16)[..., ::-1]).all()


def test_random_crops_have_the_areas_and_aspects_of_the_source() -> None:
    rng = np.random.default_rng(0)
    found = [random_crop(400, 300, rng, flip=True) for _ in range(3000)]

    areas = np.array([crop.width * crop.height / 120_000 for crop in found])
    aspects = np.array([crop.width / crop.height for crop in found])
    assert areas.min() > 0.079
    assert areas.max() <= 1.0
    assert aspects.min() > 0.73
    assert aspects.max() < 1.37
    assert 0.3 < np.median(areas) < 0.6  # evenly between 0.08 and 1, less what does not fit
    assert all(crop.left + crop.width <= 400 and crop.top + crop.height <= 300 for crop in found)
    assert min(crop.left for crop in found) == min(crop.top for crop in found) == 0
    assert 0.45 < np.mean([crop.mirrored for crop in found]) < 0.55
    assert not any(random_crop(400, 300, rng, flip=False).mirrored for _ in range(50))


@pytest.mark.parametrize(("width", "height"), [(1000, 3), (3, 1000), (1, 1)])
def test_a_very_long_photograph_gives_its_middle(width: int, height: int) -> None:
    crop = random_crop(width, height, np.random.default_rng(0), flip=False)

    assert 1 <= crop.width <= width
    assert 1 <= crop.height <= height
    assert abs((width - crop.width) / 2 - crop.left) <= 0.5
    assert cropped(gradient(width, height), crop, 8).shape == (3, 8, 8)


def test_the_middle_is_that_of_the_shorter_side() -> None:
    wide = central(gradient(512, 256), 224)  # nothing is resized: columns 144 .. 367, rows 16 .. 239

    assert wide.shape == (3, 224, 224)
    assert (wide[1] == np.arange(16, 240)[:, None]).all()
    assert (wide[0, :, :112] == np.arange(144, 256)).all()


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (17, 900), (224, 224), (1, 1)])
def test_the_middle_has_the_size_asked_for(width: int, height: int) -> None:
    assert central(gradient(width, height), 224).shape == (3, 224, 224)


@pytest.mark.parametrize("upright", [False, True])
def test_the_middle_of_a_line_of_pixels_takes_no_more_memory_than_a_photograph(
    upright: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    resize = Image.Image.resize

    def noted(image: Image.Image, size: tuple[int, int], *arguments: object) -> Image.Image:
        asked.append(size[0] * size[1])
        return resize(image, size, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", noted)
    codes = np.repeat((np.arange(5000) // 20)[None, :, None], 3, axis=2).astype(np.uint8)  # [1, 5000, 3]

    pixels = central(Image.fromarray(codes.transpose(1, 0, 2) if upright else codes), 224)

    assert max(asked) <= 8 * 256 * 256
    assert {124, 125} >= {*np.unique(pixels).tolist()}


def test_sixteen_bits_of_grey_are_their_upper_eight() -> None:
    codes = np.arange(0, 65536, 257, dtype=np.uint16)[:256].reshape(16, 16)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")

    pixels = np.asarray(decoded(file.getvalue(), "grey.png"))

    assert (pixels == (codes >> 8)[..., None]).all()


def test_what_is_no_photograph_is_said_without_addresses() -> None:
    with pytest.raises(DataError, match=r"^a\.jpg: not a readable photograph: neither JPEG nor PNG \("):
        decoded(b"GIF89a", "a.jpg")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_grey_print_and_palette_become_red_green_blue(mode: str) -> None:
    buffer = io.BytesIO()
    gradient(40, 40).convert(mode).save(buffer, format="PNG" if mode in ("RGBA", "P") else "JPEG")

    assert decoded(buffer.getvalue(), "x").mode == "RGB"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a no",
        lab.photograph(1, 1)[:700],
        b"\xff\xd8" + bytes(100),
        lab.photograph(1, 1, format="GIF"),
    ],
)
def test_what_is_no_photograph_is_named(content: bytes) -> None:
    with pytest.raises(
        DataError, match=r"^a\.jpg: not a readable photograph: .*\(restore the file or remove it\)"
    ):
        decoded(content, "a.jpg")


def test_a_photograph_that_claims_a_billion_pixels_is_not_unpacked() -> None:
    bomb = bytearray(lab.photograph(1, 1, format="PNG"))
    bomb[16:24] = (40_000).to_bytes(4, "big") * 2  # width and height of the header

    with pytest.raises(DataError, match=r"a\.png: .*40000|a\.png: not a readable photograph"):
        decoded(bytes(bomb), "a.png")


# --- the sets


def test_folders_and_shards_hold_the_same_photographs(folders: Path, packed: Path) -> None:
    for split, count in (("train", 15), ("test", 6)):
        one, other = load("imagenet", folders, split), load("imagenet", packed, split)
        assert len(one) == len(other) == count
        assert one.image_shape == other.image_shape == (3, 224, 224)
        assert (one.labels == other.labels).all()
        assert len(one.classes) == len(other.classes) == 3
        assert (one.images[:] == other.images[:]).all()
    assert one.classes == lab.CLASSES


def test_pixels_are_signed_codes_without_loss(folders: Path) -> None:
    split = load("imagenet", folders, "test")

    codes = split.images[:3] * 64

    assert codes.dtype == np.float32
    assert (codes == np.rint(codes)).all()
    assert codes.min() >= -128
    assert codes.max() <= 127
    assert (codes[1] + 128 == lazily(split).middle(1)).all()


def test_slices_and_indices_read_what_they_name(folders: Path) -> None:
    images = lazily(load("imagenet", folders, "train"))
    every = images[:]

    assert (images[3:7] == every[3:7]).all()
    assert (images[np.array([9, 2])] == every[[9, 2]]).all()
    assert images[5:5].shape == (0, 3, 224, 224)
    assert images.shape == every.shape == (len(images), 3, 224, 224)


def test_a_variation_depends_on_seed_epoch_and_photograph_alone(folders: Path) -> None:
    images = lazily(load("imagenet", folders, "train"))

    def some(indices: list[int], seed: int, epoch: int, threads: int = 3) -> np.ndarray:
        (batch,) = images.batches([np.array(indices)], seed=seed, epoch=epoch, flip=True, threads=threads)
        return batch

    whole = some([0, 1, 2, 3], 7, 2)
    assert (some([2], 7, 2, threads=1)[0] == whole[2]).all()
    assert (some([3, 0], 7, 2) == whole[[3, 0]]).all()
    assert not (some([2], 7, 3)[0] == whole[2]).all()
    assert not (some([2], 8, 2)[0] == whole[2]).all()


def test_an_error_in_a_thread_reaches_whoever_trains(folders: Path, tmp_path: Path) -> None:
    lab.write_folders(tmp_path, train=2, test=1)
    (victim := tmp_path / "train" / lab.CLASSES[1] / f"{lab.CLASSES[1]}_0.JPEG").write_bytes(b"nothing")
    images = lazily(load("imagenet", tmp_path, "train"))

    with pytest.raises(DataError, match=f"{victim.name}: not a readable photograph"):
        list(images.batches([np.arange(6)], seed=1, epoch=0, flip=True, threads=2))


def test_every_photograph_is_seen_once_an_epoch_and_neighbours_come_from_few_shards(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "WINDOW", 2)
    encoded = lazily(load("imagenet", packed, "train")).encoded
    assert isinstance(encoded, shards.Shards)
    orders = [encoded.order(np.random.default_rng([1, epoch])) for epoch in range(2)]

    for order in orders:
        assert sorted(order.tolist()) == list(range(15))
        assert len(set(encoded.shard[order[:7]].tolist())) == 2
    assert orders[0].tolist() != orders[1].tolist()
    assert orders[0].tolist() == encoded.order(np.random.default_rng([1, 0])).tolist()


def test_more_than_the_memory_holds_is_refused(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "_MAX_AT_ONCE", 4)

    with pytest.raises(
        DataError, match=r"5 photographs at once are too many for the memory \(take at most 4"
    ):
        load("imagenet", folders, "train").images[:5]


def test_shards_beside_each_other_are_told_apart_by_name(packed: Path, tmp_path: Path) -> None:
    for path in packed.rglob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    assert len(load("imagenet", tmp_path, "train")) == 15
    assert len(load("imagenet", tmp_path, "test")) == 6


def test_the_test_split_has_the_classes_of_the_training(tmp_path: Path) -> None:
    lab.write_folders(tmp_path, train=1, test=1)
    for file in (tmp_path / "val" / lab.CLASSES[0]).iterdir():
        file.unlink()
    (tmp_path / "val" / lab.CLASSES[0]).rmdir()

    assert load("imagenet", tmp_path, "test").labels.tolist() == [1, 2]
    assert load("imagenet", tmp_path, "test").classes == lab.CLASSES


def test_an_index_is_remembered_until_a_shard_changes(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for path in sorted((packed / "train").glob("*.tar")):
        paths.append(tmp_path / path.name)
        paths[-1].write_bytes(path.read_bytes())
    index = tmp_path / "index.npz"
    first = shards.read_shards(tuple(paths), index)
    scans: list[Path] = []
    scan = shards._scan
    monkeypatch.setattr(shards, "_scan", lambda path: scans.append(path) or scan(path))

    again = shards.read_shards(tuple(paths), index)
    assert not scans
    assert (again.offset == first.offset).all()
    assert (again.labels == first.labels).all()

    os.utime(paths[1], ns=(1, 1))
    shards.read_shards(tuple(paths), index)
    assert len(scans) == len(paths)

    index.write_bytes(b"no index")
    shards.read_shards(tuple(paths), index)
    assert len(scans) == 2 * len(paths)


def test_an_index_with_impossible_places_is_not_believed(packed: Path, tmp_path: Path) -> None:
    paths = tuple(sorted((packed / "train").glob("*.tar")))
    index = tmp_path / "index.npz"
    wanted = shards.read_shards(paths, index)
    for key, value in (("offset", -5), ("size", 1 << 40), ("labels", 1 << 40), ("shard", 99)):
        with np.load(index) as stored:
            damaged = {name: stored[name].copy() for name in stored.files}
        damaged[key][0] = value if key != "shard" else 99
        np.savez(index, **damaged)
        found = shards.read_shards(paths, index)
        assert (found.offset == wanted.offset).all()
        assert (found.size == wanted.size).all()


def test_a_folder_that_cannot_be_written_keeps_no_index(packed: Path, tmp_path: Path) -> None:
    paths = tuple(sorted((packed / "train").glob("*.tar")))

    assert len(shards.read_shards(paths, tmp_path / "missing" / "index.npz").labels) == 15


# --- what is damaged or hostile


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            lab.add(tar, name, content)
    return path


GOOD = {"a.jpg": lab.photograph(1, 0), "a.cls": b"0"}


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"a.jpg": b"x"}, "sample 'a' has no class"),
        ({"a.cls": b"0"}, "sample 'a' has no photograph"),
        ({**GOOD, "a.jpeg": b"x"}, "sample 'a' has two files .jpeg"),
        ({"a.jpg": b"x", "a.cls": b"tench"}, "the class of sample 'a' is b'tench', not a number"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "not a number below"),
        ({"a.jpg": b"x", "a.cls": b"9" * 20}, "not a number below"),
        ({"a.jpg": b"x", "a.cls": b"1" * 10_000}, "not a number below"),
        ({"a.jpg": b"", "a.cls": b"0"}, "the photograph of sample 'a' has 0 bytes"),
        ({"readme.txt": b"hello"}, "holds no photographs with classes"),
        ({}, "holds no photographs with classes"),
    ],
)
def test_what_is_wrong_with_a_sample_is_said(
    tmp_path: Path, members: dict[str, bytes], sentence: str
) -> None:
    path = shard(tmp_path / "train-0.tar", members)

    with pytest.raises(DataError) as error:
        shards.read_shards((path,), tmp_path / "index.npz")

    assert sentence in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keep", [0, 100, 512, 700, 1500, 2560, 3072])
def test_a_shard_that_was_cut_off_is_no_shorter_set(tmp_path: Path, keep: int) -> None:
    whole = shard(
        tmp_path / "t.tar", {"a.jpg": b"x" * 900, "a.cls": b"0", "b.jpg": b"y" * 600, "b.cls": b"1"}
    )
    path = tmp_path / "train-0.tar"
    path.write_bytes(whole.read_bytes()[:keep])

    with pytest.raises(DataError, match=r"train-0\.tar: (not a readable tar archive|the archive is cut off)"):
        shards.read_shards((path,), tmp_path / "index.npz")


def test_a_damaged_header_on_the_way_is_no_end(tmp_path: Path) -> None:
    path = shard(tmp_path / "train-0.tar", {"a.jpg": b"x", "a.cls": b"0", "b.jpg": b"y", "b.cls": b"1"})
    content = bytearray(path.read_bytes())
    content[2 * 1024 + 148] ^= 0x5A  # the checksum of the third header

    path.write_bytes(content)
    with pytest.raises(DataError, match="cut off or damaged at byte 2,048"):
        shards.read_shards((path,), tmp_path / "index.npz")


def test_names_of_members_are_no_paths_and_links_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        lab.add(tar, "../../../escaped.jpg", GOOD["a.jpg"])
        lab.add(tar, "../../../escaped.cls", b"0")
        lab.add(tar, "/etc/absolute.jpg", GOOD["a.jpg"])
        lab.add(tar, "/etc/absolute.cls", b"1")
    before = sorted(tmp_path.parent.rglob("*"))

    found = shards.read_shards((path,), tmp_path / "missing" / "index.npz")

    assert found.labels.tolist() == [0, 1]
    assert found.read(0) == found.read(1) == GOOD["a.jpg"]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    path = tmp_path / "train-0.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(2048))

    with pytest.raises(DataError, match=r"a header of 3,221,\d{3},\d{3} bytes"):
        shards.read_shards((path,), tmp_path / "index.npz")


def test_a_member_that_ends_behind_the_file_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a.jpg")
    member.size = 1 << 20
    path = tmp_path / "train-0.tar"
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT) + bytes(4096))

    with pytest.raises(DataError, match=r"'a\.jpg' ends behind the end of the file"):
        shards.read_shards((path,), tmp_path / "index.npz")


def test_a_compressed_archive_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    with tarfile.open(path, "w:gz") as tar:
        lab.add(tar, "a.jpg", b"x")

    with pytest.raises(DataError, match="not a readable tar archive"):
        shards.read_shards((path,), tmp_path / "index.npz")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        ([], "ImageNet is not there (train)"),
        (["train"], "holds neither folders of classes nor shards"),
        (["train/n1"], "there is no photograph in any class"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, make: list[str], sentence: str) -> None:
    for name in make:
        (tmp_path / name).mkdir(parents=True)

    with pytest.raises(DataError) as error:
        imagenet.find(tmp_path, "train")

    assert sentence in str(error.value)
    assert "put train/ and val/ there" in str(error.value)


def test_a_class_of_the_test_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    lab.write_folders(tmp_path, train=1, test=1)
    (tmp_path / "val" / "n99").mkdir()

    with pytest.raises(DataError, match="class 'n99' is not among the 3 classes"):
        imagenet.find(tmp_path, "test")


def test_a_photograph_that_vanished_is_named(tmp_path: Path) -> None:
    lab.write_folders(tmp_path, train=1, test=1)
    split = load("imagenet", tmp_path, "train")
    (tmp_path / "train" / lab.CLASSES[0] / f"{lab.CLASSES[0]}_0.JPEG").unlink()

    with pytest.raises(DataError, match=r"n01440764_0\.JPEG: cannot be read: No such file"):
        split.images[:1]
