"""Batches, journal, and what happens when a model fails. No lmms-eval here."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.harness.fake_methods.fake_methods import FakeEngine, cost
from tests.harness.real_schemas import picture, turned
from visor_eval.errors import SetupError
from visor_eval.harness.generation import BATCH_PIXELS, BATCH_SAMPLES, GenerationError, Generator, batches
from visor_eval.harness.samples import DEFAULT_NEW_TOKENS, Sample, from_instance, image_hash, pixel_counts, to_request
from visor_eval.models.engine import Answer
from visor_eval.records import Journal


def sample(doc_id: int, *, pixels: int = 0, prompt: str = "what?", padding: bool = False, **generation) -> Sample:
    """A sample whose document holds its images."""
    return Sample(
        task="t",
        doc_id=doc_id,
        split="test",
        prompt=prompt,
        generation=generation,
        visuals=lambda doc: doc["images"],
        pixels=pixels,
        padding=padding,
    )


def documents(count: int) -> dict:
    """One image per document."""
    return {"t": {"test": [{"images": [picture(i)]} for i in range(count)]}}


class Recording(FakeEngine):
    """Keeps the requests it was given."""

    def __init__(self) -> None:
        """No answers known."""
        super().__init__()
        self.requests: list = []

    def answer(self, requests):
        """As the fake, noted."""
        self.requests += requests
        return super().answer(requests)


def test_batches_are_sorted_by_size_and_complete():
    samples = [sample(i, pixels=(i * 37) % 100 * 1000) for i in range(100)]
    made = list(batches(samples, 16))
    assert [len(batch) for batch in made] == [16] * 6 + [4]
    pixels = [s.pixels for batch in made for s in batch]
    assert pixels == sorted(pixels, reverse=True)
    assert sorted(s.doc_id for batch in made for s in batch) == list(range(100))


def test_automatic_batches_shrink_with_the_images():
    small = [sample(i, pixels=100) for i in range(70)]
    assert [len(batch) for batch in batches(small, None)] == [BATCH_SAMPLES] * 2 + [6]
    large = [sample(i, pixels=BATCH_PIXELS // 3) for i in range(7)]
    assert [len(batch) for batch in batches(large, None)] == [3, 3, 1]
    assert [len(batch) for batch in batches([sample(0, pixels=10 * BATCH_PIXELS)], None)] == [1]
    assert list(batches([], None)) == []


def test_requests_carry_the_generation_settings():
    engine = Recording()
    samples = [sample(0, max_new_tokens=16, until=["\n\n"]), sample(1, until="ASSISTANT:"), sample(2)]
    Generator(engine=engine, batch_size=1).run(samples, documents(3))
    found = {(request.max_new_tokens, request.stop) for request in engine.requests}
    assert found == {(16, ("\n\n",)), (DEFAULT_NEW_TOKENS, ("ASSISTANT:",)), (DEFAULT_NEW_TOKENS, ())}


def test_text_after_a_stop_string_is_cut():
    class Chatty(FakeEngine):
        def answer(self, requests):
            return [Answer(text="7\n\nBecause", token_ids=(1,), cost=cost()) for _ in requests]

    found = Generator(engine=Chatty()).run([sample(0, until=["\n\n"])], documents(1))
    assert found["t", 0].text == "7"


def test_several_images_keep_their_order_and_none_is_allowed():
    engine = Recording()
    pictures = [picture(5), picture(6, (40, 40))]
    data = {"t": {"test": [{"images": pictures}, {"images": None}]}}
    found = Generator(engine=engine, batch_size=1).run([sample(0), sample(1)], data)
    by_count = {len(request.images): request for request in engine.requests}
    assert [image.size for image in by_count[2].images] == [picture.size for picture in pictures]
    assert by_count[0].images == ()
    assert found["t", 0].image_hashes == tuple(image_hash(picture) for picture in pictures)


def test_grey_and_palette_images_become_rgb():
    engine = Recording()
    Generator(engine=engine).run([sample(0)], {"t": {"test": [{"images": [Image.new("L", (8, 8))]}]}})
    assert engine.requests[0].images[0].mode == "RGB"


def test_images_read_from_files_are_turned_upright(tmp_path):
    engine = Recording()
    turned(tmp_path / "turned.jpg")
    Generator(engine=engine).run([sample(0)], {"t": {"test": [{"images": [str(tmp_path / "turned.jpg")]}]}})
    assert engine.requests[0].images[0].size == (10, 30)


def test_repeats_and_padding_are_computed_once_and_never_journalled_twice(tmp_path):
    engine = FakeEngine()
    with Journal(tmp_path / "journal.jsonl") as journal:
        samples = [sample(0), sample(0), sample(1), sample(1, padding=True), sample(2, padding=True)]
        found = Generator(engine=engine, journal=journal).run(samples, documents(3))
        assert sum(engine.calls) == 3
        assert sorted(key.doc_id for key in journal) == ["0", "1"]
    assert set(found) == {("t", 0), ("t", 1), ("t", 2)}


def test_finished_samples_are_not_computed_again(tmp_path):
    first, second = FakeEngine(stop_after=4), FakeEngine()
    samples = [sample(i) for i in range(10)]
    with Journal(tmp_path / "journal.jsonl") as journal, pytest.raises(KeyboardInterrupt):
        Generator(engine=first, journal=journal, batch_size=2).run(samples, documents(10))
    seen: list[tuple[int, bool]] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        generator = Generator(engine=second, journal=journal, batch_size=2, progress=lambda n, k: seen.append((n, k)))
        resumed = generator.run(samples, documents(10))
    assert (sum(first.calls), sum(second.calls)) == (4, 6)
    assert seen == [(4, True), (2, False), (2, False), (2, False)]
    straight = Generator(engine=FakeEngine()).run(samples, documents(10))
    assert {key: done.text for key, done in resumed.items()} == {key: done.text for key, done in straight.items()}


@pytest.mark.parametrize("change", ["identity", "prompt", "image", "tokens"])
def test_a_changed_request_is_computed_again(tmp_path, change):
    engine = FakeEngine()
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        Generator(engine=engine, journal=journal, identity="a").run([sample(0)], documents(1))
    data = {"t": {"test": [{"images": [picture(9)]}]}} if change == "image" else documents(1)
    settings = {"max_new_tokens": 3} if change == "tokens" else {}
    again = sample(0, prompt="why?" if change == "prompt" else "what?", **settings)
    with Journal(path) as journal:
        Generator(engine=engine, journal=journal, identity="b" if change == "identity" else "a").run([again], data)
    assert sum(engine.calls) == 2


class Broken(FakeEngine):
    """Fails as told."""

    def __init__(self, error: Exception, above: int = 0) -> None:
        """Raise ``error`` on batches of more than ``above`` samples."""
        super().__init__()
        self.error, self.above = error, above

    def answer(self, requests):
        """Raise, or answer."""
        if len(requests) > self.above:
            raise self.error
        return super().answer(requests)


def test_a_failing_model_stops_the_run_and_scores_nothing(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        generator = Generator(engine=Broken(RuntimeError("shapes differ")), journal=journal)
        with pytest.raises(GenerationError, match=r"t 1, t 0 \(RuntimeError: shapes differ\)"):
            generator.run([sample(0), sample(1)], documents(2))
        assert len(journal) == 0


def test_a_missing_answer_stops_the_run():
    class Forgetful(FakeEngine):
        def answer(self, requests):
            return super().answer(requests)[1:]

    with pytest.raises(GenerationError, match="1 answers to 2 requests"):
        Generator(engine=Forgetful()).run([sample(0), sample(1)], documents(2))


def test_out_of_memory_halves_the_batch():
    import torch

    engine = Broken(torch.OutOfMemoryError("CUDA out of memory"), above=2)
    found = Generator(engine=engine).run([sample(i) for i in range(8)], documents(8))
    assert (engine.calls, len(found)) == ([2, 2, 2, 2], 8)
    with pytest.raises(GenerationError, match="OutOfMemoryError"):
        Generator(engine=Broken(torch.OutOfMemoryError("full"))).run([sample(0)], documents(1))


def test_an_unreadable_image_is_named(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    data = {"t": {"test": [{"images": [str(tmp_path / "broken.png")]}]}}
    with pytest.raises(SetupError, match="an image of t, sample 0, cannot be read"):
        Generator(engine=FakeEngine()).run([sample(0)], data)


def test_other_images_can_be_shown():
    engine = Recording()
    generator = Generator(engine=engine, image_sources={"t": [1, 0]}, batch_size=1)
    found = generator.run([sample(0, prompt="zero"), sample(1, prompt="one")], documents(2))
    assert found["t", 0].image_hashes == (image_hash(picture(1)),)
    assert found["t", 1].image_hashes == (image_hash(picture(0)),)


class Instance:
    """The part of lmms-eval's request that is read."""

    metadata = None

    def __init__(self, *args: object) -> None:
        """Arguments as lmms-eval orders them."""
        self.arguments = args


def test_simple_and_chat_requests_read_alike():
    images = [picture(1)]
    content = [{"type": "image", "url": images[0]}, {"type": "text", "text": "what?"}]
    chat = Instance("what?", lambda doc: [{"role": "user", "content": content}], {"max_new_tokens": 5}, 3, "t", "test")
    simple = Instance("what?", {"max_new_tokens": 5}, lambda doc: images, 3, "t", "test")
    one, two = from_instance(chat, simple=False), from_instance(simple, simple=True)
    assert (one.prompt, one.key, one.generation) == (two.prompt, two.key, two.generation)
    assert one.visuals({}) == two.visuals({}) == images


def test_video_and_sampling_are_refused():
    content = [{"type": "video", "url": "x.mp4"}]
    video = Instance("q", lambda doc: [{"role": "user", "content": content}], {}, 0, "t", "test")
    with pytest.raises(SetupError, match="holds video"):
        from_instance(video, simple=False).visuals({})
    with pytest.raises(SetupError, match="sampling"):
        from_instance(Instance("q", {"do_sample": True}, None, 0, "t", "test"), simple=True)


def test_sizes_are_read_off_the_headers_of_all_images():
    from datasets import Dataset, Features, Sequence, Value
    from datasets import Image as ImageFeature

    features = Features({"q": Value("string"), "image": ImageFeature(), "more": Sequence(ImageFeature())})
    documents = Dataset.from_list(
        [
            {"q": "a", "image": picture(1, (10, 4)), "more": [picture(2, (5, 5)), picture(3, (6, 6))]},
            {"q": "b", "image": None, "more": []},
        ],
        features=features,
    )
    assert pixel_counts(documents) == [40 + 25 + 36, 0]
    assert pixel_counts(documents.select_columns(["q"])) == [0, 0]


def test_the_engine_learns_the_group_of_the_task():
    request = to_request(replace(sample(0), task="chartqa_mini"), ())
    assert request.group == "hard"
    assert to_request(sample(0), ()).group is None
