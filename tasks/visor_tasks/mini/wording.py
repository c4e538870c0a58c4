"""The benchmarks' prompt forms, and the words and phrases they are made of.

``prompt_of`` repeats what lmms-eval 0.7.3's doc_to_text does with each task's default prompt arguments;
``tests/tasks/test_mini_prompts.py`` holds it against lmms-eval's own functions.
"""

from visor_tasks.mini.palette import ARROWS, BACKGROUNDS, COLOR_NAMES, SHAPES, VEHICLES
from visor_tasks.mini.question import Ask

EASY = ("realworldqa", "scienceqa_img", "gqa", "mme", "mmstar", "pope", "textvqa_val", "ai2d")
HARD = ("chartqa", "ocrbench", "infovqa_val", "docvqa_val")
TASKS = (*EASY, *HARD)

PHRASE_POST = "\nAnswer the question using a single word or phrase."
LETTER_POST = "\nAnswer with the option's letter from the given choices directly."
POST_PROMPTS = {
    "realworldqa": "",  # the dataset's own questions carry theirs
    "scienceqa_img": LETTER_POST,
    "gqa": PHRASE_POST,
    "mme": PHRASE_POST,
    "mmstar": LETTER_POST.removesuffix("."),  # without the full stop in lmms-eval
    "pope": PHRASE_POST,
    "textvqa_val": PHRASE_POST,
    "ai2d": LETTER_POST,
    "chartqa": "\nAnswer the question with a single word.",
    "ocrbench": "",
    "infovqa_val": PHRASE_POST,
    "docvqa_val": PHRASE_POST,
}
MME_SUFFIX = " Please answer yes or no."  # in MME's data; lmms-eval takes it off
REALWORLD_OPEN = "\nPlease answer directly with a single word or number."
REALWORLD_LETTER = "\nPlease answer directly with only the letter of the correct option and nothing else."
OCR_KEY_SUFFIX = " Answer this question using the text in the image directly."
OCR_FORMULA = "Please write out the expression of the formula in the image using LaTeX format."

# Small-font words: all halves differ, so that one cell alone tells the word.
FIELDS = ("date", "name", "room", "size", "code", "page", "plan", "type", "year", "hour", "zone", "bank")
GOODS = ("fuel", "milk", "rice", "salt", "gold", "wood", "fish", "lamp", "bird", "oven", "iron", "club")
SIGNS = ("stop", "exit", "taxi", "slow", "cafe", "inn", "pier", "yoga", "farm", "dock", "bus", "kiwi")
POINTERS = ("use", "via")  # labels of fields that name another field
TOTAL = "sum"

COUNTS = ("one", "two", "three", "four", "five", "six")
CORNERS = ("top left", "top right", "bottom left", "bottom right")

STEMS = (
    # objects
    "What is the color of the", "What is to the left of the", "What is to the right of the", "What is above the",
    "What is below the", "What shape is the", "Is the", "Is there a", "Is there an", " in the image", " in this image",
    " on the left or on the right", " at the top or at the bottom", " to the left of the", " to the right of the",
    " on the left of the", " on the right of the", " above the", " below the", "Is there a total of",
    " objects in this image", 'Is the word in the image "', "Is the answer to the arithmetic question in the image",
    # choices
    "What is the color of the background", "How many objects are there", "Where is the", "Which shape is",
    "What is the color of the object to the left of the", "What is the color of the object to the right of the",
    "What is the color of the object above the", "What is the color of the object below the",
    "Which shape is not in the image", "Which shape is in the north west", "Which shape is in the north east",
    "Which shape is in the south west", "Which shape is in the south east", "How many corners does the", " shape have",
    # roads
    "What is the color of the traffic light", "What is the speed limit", "How many vehicles are there",
    "In which direction does the arrow point", "Which vehicle is on the left", "Which vehicle is on the right",
    "Which vehicle is",
    # signs
    "What number is in the image", "What word is in the image", "What number is on the", "What word is on the",
    "What number is at the top", "What number is at the bottom", "What word is at the top",
    "What word is at the bottom", "What is the color of the sign with",
    # diagrams
    "Which letter labels the", "What is labeled", "What does the arrow from the", " point to", "What points to the",
    "What comes two steps after the",
    # science
    "Will these magnets attract or repel each other", "Which solution has more particles",
    "Which solution has fewer particles", "Which of these is farthest north", "Which of these is farthest south",
    "Which of these is farthest east", "Which of these is farthest west", "Which of these eats the",
    "Which of these is eaten by the",
    # documents
    "What is the", "What is the value of", "Which field has the value", "What is the first value",
    "What is the last value", "What is the value in row", " column", "What is the value of the field that use names",
    "What is the value of the field that via names",
    # charts
    "What is the value of the", "What is the value of the largest bar", "What is the value of the smallest bar",
    "Which bar is the largest", "Which bar is the smallest", "Which bar has the value", "What is the label of the",
    "What is the value of the first bar", "What is the value of the last bar", "Which bar is to the right of",
    "Which bar is to the left of", "Which bar is above", "Which bar is below",
    # pages
    "what is the word in the image?", "what is the number in the image?", "what is the letter string in the image?",
    "what is written on the", OCR_FORMULA, OCR_KEY_SUFFIX, "what is the total", "what is the",
    # infographics
    "What is the value at the", "What value is next to the", "Which item has the value", "Which item is the largest",
    "Which item is the smallest", "What value does the arrow from", " lead to", "Which item is next to the",
)  # fmt: skip

TAILS = tuple(
    dict.fromkeys(
        [f"?{post}" for post in POST_PROMPTS.values() if post]
        + [post for post in POST_PROMPTS.values() if post]
        + [f"?{REALWORLD_OPEN}", REALWORLD_OPEN, REALWORLD_LETTER, "?\nA.", "\nA.", "\nB.", "\nC.", "\nD.",
           "?\nOptions: A:", "\nOptions: A:", ", B:", ", C:", ", D:"]
    )
)  # fmt: skip

PHRASES: tuple[str, ...] = tuple(dict.fromkeys((*STEMS, *TAILS, *(f" {corner}" for corner in CORNERS))))
WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(*COLOR_NAMES, *BACKGROUNDS, *SHAPES, *VEHICLES, *ARROWS, *FIELDS, *GOODS, *SIGNS, *POINTERS, TOTAL),
            *(*COUNTS, "yes", "no", "Yes", "No", "top", "bottom", "attract", "repel", "sign", "bar", "object", "light"),
        )
    )
)


def option_lines(options: tuple[str, ...]) -> str:
    r"""``A. x\nB. y`` as ScienceQA, AI2D and RealWorldQA print their choices."""
    return "\n".join(f"{'ABCD'[place]}. {option}" for place, option in enumerate(options))


def question_of(task: str, ask: Ask) -> str:
    """The text of the dataset's ``question`` column."""
    if task == "mme":
        return ask.question + MME_SUFFIX
    if task == "realworldqa":
        if ask.options:
            return f"{ask.question}\n{option_lines(ask.options)}{REALWORLD_LETTER}"
        return ask.question + REALWORLD_OPEN
    if task == "mmstar":
        listed = ", ".join(f"{'ABCD'[place]}: {option}" for place, option in enumerate(ask.options))
        return f"{ask.question}\nOptions: {listed}"
    return ask.question


def prompt_of(task: str, ask: Ask) -> str:
    """The whole user text lmms-eval sends for this question."""
    post = POST_PROMPTS[task]
    if task in ("scienceqa_img", "ai2d"):
        return f"{ask.question}\n{option_lines(ask.options)}{post}"
    if task == "mme":
        return ask.question + post
    if task == "textvqa_val":
        return ask.question.capitalize() + post
    return question_of(task, ask) + post
