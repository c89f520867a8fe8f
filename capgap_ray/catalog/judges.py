"""Judge prompts by name. Texts enter identity by content, so an edited prompt never meets an old verdict."""

from __future__ import annotations

from capgap_ray.core.judging import JudgePrompt
from capgap_ray.tiny.judge_probes import JUDGE_SYSTEM, JUDGE_USER

JUDGE_PROMPTS: dict[str, JudgePrompt] = {
    "tiny": JudgePrompt(name="tiny", system=JUDGE_SYSTEM, user_template=JUDGE_USER),
    # The ancestor's, byte for byte: math_metric_llm_eval_general.py of Small-Model-Learnability-Gap at 814cf97.
    "small-model-gap": JudgePrompt(
        name="small-model-gap",
        system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        user_template=(
            "Given a math problem, its correct answer, and the model's generated answer, determine if the "
            "model's generated answer is correct. Respond with 'True' if the answer is correct and 'False' if "
            "it is incorrect. Directly provide your judgement 'True' or 'False' without any other description."
            "\nProblem: {problem}\nCorrect Answer: {gold}\nModel's Generated Answer: {answer}\nYour judgement:"
        ),
    ),
}
