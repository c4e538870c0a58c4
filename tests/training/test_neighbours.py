"""The first layer is taught what stands beside each vision token, and nothing else changes."""

import torch

from visor_eval.training.labels import LabelSet, canvas_labels
from visor_eval.training.neighbours import NeighbourRecipe, beside, canvas, teach_neighbours
from visor_eval.training.packed import PackedModel
from visor_eval.training.stream import QuestionTokens, Stream
from visor_tasks.mini import stream_item


def stream_of(tokenizer, task="docvqa_val"):
    return Stream(QuestionTokens(tokenizer), (task,), "train", 0, images=4, questions=1)


def test_neighbours_are_the_nearest_labelled_cells_before():
    shown = torch.zeros(1, 3, 4, 2)
    shown[0, 0, 0, 0] = shown[0, 2, 3, 1] = shown[0, 2, 0, 1] = 1
    left, above = beside(shown)[0].split(2, dim=-1)
    assert left[0, :, 0].tolist() == [0, 1, 1, 1]  # across blank cells, never itself
    assert left[1].sum() == 0
    assert left[2, :, 1].tolist() == [0, 1, 1, 1]
    assert above[:, 0].tolist() == [[0, 0], [1, 0], [1, 0]]
    assert above[:, 3].sum() == 0


def test_the_canvas_is_where_the_cells_are(tokenizer, model):
    """A cell painted into one tile changes the canvas most at its own place."""
    packed, batch = PackedModel(model), stream_of(tokenizer).batch(0).packed
    tile, row, column = batch.columns, 2, 5  # the last tile of the first row, behind the thumbnail
    with torch.no_grad():
        before = canvas(packed.vision_tokens(batch), batch)
        batch.pixels[:, tile, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 5.0
        change = (canvas(packed.vision_tokens(batch), batch) - before).norm(dim=-1)
    assert change.shape[1:] == (7 * batch.rows, 7 * batch.columns)
    place = row * change.shape[2] + 7 * (batch.columns - 1) + column
    assert change.flatten(1).argmax(dim=1).tolist() == [place] * len(change)


def test_the_first_layer_is_the_stock_one(tokenizer, model):
    packed, batch = PackedModel(model), stream_of(tokenizer).batch(1).packed
    given, (found,) = packed.vision_path(batch, (1,))
    decoder = model.model.language_model
    states = torch.cat((decoder.embed_tokens(batch.tokens[:, 0, : batch.prefix]), given), dim=1)
    places = torch.arange(states.shape[1])[None]
    mask = torch.full((1, 1, states.shape[1], states.shape[1]), float("-inf")).triu(1)
    with torch.no_grad():
        expected = decoder.layers[0](
            states, attention_mask=mask, position_ids=places, position_embeddings=decoder.rotary_emb(states, places)
        )
    torch.testing.assert_close(found, expected[:, batch.prefix :], atol=1e-5, rtol=0)


def test_only_the_first_layer_learns(tokenizer, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learnt = {name: value.requires_grad for name, value in model.named_parameters()}
    curve = teach_neighbours(model, stream_of(tokenizer), LabelSet.default(), NeighbourRecipe(steps=30))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("model.language_model.layers.0.") for name in changed)
    assert {name: value.requires_grad for name, value in model.named_parameters()} == learnt
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_labels_of_the_canvas_are_where_things_were_drawn():
    drawn = [stream_item("train", "docvqa_val", 3, index, questions=1) for index in range(8)]
    items = [item for item in drawn if item.image.shape == drawn[0].image.shape]
    labels = LabelSet.default()
    for image, item in zip(canvas_labels(items, labels), items, strict=True):
        assert image.sum() == sum(len(words) for words in item.cells.values())
        for (row, column), words in item.cells.items():
            assert all(image[row, column, labels.places[word]] == 1 for word in words)
