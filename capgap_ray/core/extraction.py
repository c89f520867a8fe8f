"""Where any text states its answer: boxes, statements, the claim of its last sentence.

What is common to all kinds of answers; `maths_extraction`, `number_extraction` and `labels` read the kinds. Nothing is
invented: no answer comes from unfinished thinking, an unfinished or empty box, a question, a hedge or a check line.
Everything runs in time linear in the text; only its end is read closely.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

from capgap_ray.core.maths import compare, readings, unwrapped
from capgap_ray.core.notation import LONGEST_MATHS
from capgap_ray.core.number_words import NUMBER_WORDS
from capgap_ray.core.remarks import BESIDE, CHECK, CONCLUDES_LATER, LEAVES, SECTION, TO_THE_READER, WISH

T = TypeVar("T")

_TAIL = 20_000
"""Characters from the end of the text that statements and conclusions are looked for in."""
NEAR_END = 400
"""Characters that may follow "the result is" or "the solution is" where it states the answer."""
_AFTERWORD_LINES = 12
"""Lines at the end that may hold nothing but an afterword."""
_MOST_BOXES = 64
"""Boxes looked at from the end; a text with more that are all empty has no answer."""
_BOX_WORD = re.compile(r"\\(?:boxed|fbox|framebox|answer)(?![a-zA-Z])")
_THINKING_BEGINS = re.compile(r"<(?:think|thinking|thought|reasoning)>|<\|begin_of_thought\|>|\[THINK\]")
_THINKING_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>|<\|end_of_thought\|>|\[/THINK\]")
_LABEL = re.compile(
    r"(?:最终|正确)?答案\s?(?:是|为|應為|[:：])[:：]?\s*|(?<=\n)答[:：]\s*|答えは\s*|정답은\s*|。"
    r"|\b(?:die |la )?(?:endgültige |richtige )?(?:antwort|lösung|respuesta|réponse|risposta|resposta|ответ)"
    r"(?: (?:final|finale|correcta|correcte|corretta|correta))?(?:\s?:| (?:ist|lautet|es|est|è|é)\b)"
    r"(?: (?:also|donc|por tanto|quindi)\b)?\s*"
    r"|∴\s*|(?:\A|(?<=\n))(?:=>|⇒|⟹|→)\s+|\$\s?\\therefore(?:\\quad|\\ |\s)*"
    r"|(?<=\n)[ \t$]*(?:⇒|\\(?:Longr|R)ightarrow|\\implies)\s+"
    r"|(?<!boxed\{)(?<!\[)(?:\$\$|\$|\\\[)?\s?\\text(?:bf|rm)?\s?"
    r"\{\s?(?:the )?(?:final )?answer(?: is)?:?\s?\}\s?[:=]?\s*"
    r"|\[(?:final )?answer\]:?\s+",
    re.IGNORECASE,
)
_IN_ENGLISH = {
    "。": ".\n",
    "∴": "Therefore, ",
    "=>": "Therefore, ",
    "⇒": "Therefore, ",
    "⟹": "Therefore, ",
    "→": "Therefore, ",
    "$\\therefore": "Therefore, $",
}
"""What labels an answer in other languages and in LaTeX; and the full stop of Chinese and Japanese."""
_PROGRAM = re.compile(
    r"```(?:\n(?=>>> )|(?:python|py|c|cpp|java|javascript|sql)\n).*?(?:```|\Z)"
    r"(?:\s{0,9}```(?:output|text)?\n[^`]{0,2000}```(?=\s*[^\s`]))?",
    re.DOTALL | re.IGNORECASE,
)
"""With its output, where the text goes on after it."""
_ASYMPTOTE = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
"""A drawing."""
_FUNCTION = re.compile(
    r"^def \w{1,40}\([^()\n]{0,200}\)(?: -> \w{1,20})?:[ \t]*\n(?:[ \t]+[^\n]*(?:\n|\Z)|\n)*", re.MULTILINE
)
"""A program without a fence."""
_LETTER_ALONE = re.compile(r"\(?[A-R]\)?[\s.]{0,9}\Z")
_BARE_BOX = re.compile(r"(?<![\\\w])boxed\{(?=[^{}\n]{1,80}\})")
"""A box without its backslash, as small models write it."""
_NOTHING_MORE = re.compile(r"\s*\Z")
_TABLE_ROW = re.compile(
    r"^\|?[ \t*]*(?:(?P<answer>(?:final |correct )?answer)|(?P<total>(?:grand )?total(?: [\w ]{1,40})?))[ \t*]*\|"
    r"(?:[^|\n]*\|)*?(?P<value>[^|\n]{1,200})\|?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A table's row of the answer or the total: its last cell is the value."""
_WORDED = re.compile(
    r"^([ \t]*)(?:\$\$?|\\\[)\s{0,4}\\text\s?"
    r"\{\s?([A-Z][^{}$\n]{1,120}?\b(?:is|are|equals|be|get|have|has)|(?:Thus|Hence|Therefore),?)\s?\}"
    r"((?:\\[,; ]|\s){0,4}[^$\n]{1,200}?)(\.?)\s{0,4}(?:\$\$?|\\\])",
    re.MULTILINE,
)
"""A sentence that is all in maths: `$\\text{So the area is } 12.$`."""
_AND = re.compile(r"\\text\s?\{\s?(?:und|et|y|e)\s?\}")
_UNDERLINE = re.compile(r"^[=-]{3,}[ \t]*$\n?", re.MULTILINE)
_JSON_ANSWER = re.compile(
    r"\"(?:final_?)?answer\"\s?:\s?(?:\"((?:[^\"\\\n]|\\.){1,2000})\"|(-?[0-9][0-9.]{0,600}))\s?[,}]?", re.IGNORECASE
)
_ANSWER_TAG = re.compile(r"<(/?)(?:final_?answer|final|result|solution|option|choice|ans)>", re.IGNORECASE)
_BOLD_TAG = re.compile(r"</?(?:b|strong)>", re.IGNORECASE)
_OPEN = re.compile(
    r"\b(?:first(?:ly)?|to start|to begin(?: with)?),? "
    r"(?:we|i|you|let|find|calculate|compute|determine|note|notice|observe|recall)\b[^.]*\.\s+$"
    r"|\b(?:we|i)(?:['’]ll| will| can)? (?:start|begin) (?:with|by)\b[^.\n]*\.\s+$"
    r"|\b(?:we|i)(?:['’]ll| will) then\b[^.]*\.\s+$"
    r"|\b(?:still|yet|remains?|left) (?:need |have |has )?to (?:be )?"
    r"(?:find|found|determined?|computed?|calculated?|solved?)\b[^.\n]*\.\s+$",
    re.IGNORECASE,
)
_UNDONE = re.compile(r"\W*(?:next|now|then),? (?:we|i) (?:still )?(?:have|need) to\b(?!.*=)", re.IGNORECASE)
"""What is still to be done."""
_STRUCK = re.compile(r"(?:^[ \t]*[-•*] )?~~[^~\n]{1,200}~~", re.MULTILINE)
_END_OF_PROOF = re.compile(
    r"\.?\s?[∎■□]|(?:\\[qd]?quad|\\hfill|\\[,; ])?\s?\\(?:blacksquare|square|Box|qed)(?=[\s$.\\\])]{0,9}(?:\n|\Z))"
)
_CORRECTED = re.compile(
    r"\b(?:(?:is|are|was) not|isn't|not) (?!only\b)(?:option )?(?:\$[^$\n]{1,80}\$|[^\s,;]{1,40})"
    r"(?:,? but(?= )|(?:;|,| [—–-]) (?:it|that)(?:['’]s| is))(?: rather)?",
    re.IGNORECASE,
)
"""What a correction rejects: "not 5 but", "isn't (A); it's"."""
_SURE = re.compile(
    r"\b(the|my|our)?[ *_]{0,4}(final|correct|right|best|matching|corresponding)?[ *_]{0,4}"
    r"(?:exact|numerical|overall)?[ *_]{1,4}$",
    re.IGNORECASE,
)
SEVERAL = re.compile(
    r"\b(?:or|not|nor|either|neither|maybe|perhaps|possibly|both)\b|\b(?:and|but) (?:option )?\(?(?-i:[A-Z])\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"(?:(?:insert|put|enter|write|type|fill in|x) )?(?:(?:the|your|my|final|correct|numerical|option|answer) )*"
    r"(?:answer|result|solution|letter|option|choice|value|number)"
    r"(?: of (?:the|your) (?:(?:final|correct|right|chosen) )?(?:answer|option|choice))?(?: (?:goes )?here)?"
    r"|ldots|cdot|\?|"
)
"""What a box holds whose form is shown and not filled in."""
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_UNCLOSED = re.compile(r"([^$\n]{1,200}?)(?:\$|\\\)|\\\]|(?<=\})[ \t.]{0,9}(?:\n|(?P<cut>\Z)))")
"""What a box holds whose brace is forgotten: its formula ends all the same, or its line does after another brace. What
ends with the text (`cut`) while a formula is open is cut off."""
_STATEMENT = re.compile(
    r"####|\bTL;?DR:"
    r"|\b(?P<noun>ans(?:wers?)?(?: \((?:final|[a-e])\))?|results?|solutions?|option|choice|pick|recommendation)"
    r"[ *_]{0,3}"
    r"(?:(?:that )?(?:we|you)(?:'re| are) looking for"
    r"|(?:to|of) (?:the|this|our) (?:\w+ )?(?:problem|question|equation|puzzle|system)(?: [\"“][^\"”\n]{1,120}[\"”])?"
    r"|to [\"“][^\"”\n]{1,120}[\"”]|in (?:\w+ ){0,3}form|here)?[ *_]{0,3}(?:,? (?:then|therefore|thus|hence),? )?"
    r"(?:is\b(?: given by\b)?|are\b|=|:|→|⇒|equals\b|(?:will|would|must|should) be\b|comes (?:out )?to\b)"
    r"|\b(?:final|correct) answer of\b"
    r"|(?:^|\n)(?:#{1,6} |\*\*)(?:final )?result(?=[*_ ]*\n)"
    r"|(?:^|\n)[#*_ ]{0,6}final (?:equation|expression|value|(?:simplified )?form)"
    r"(?: (?:of|for) [a-z ]{1,30})?[*_]{0,3}:"
    r"|(?:^|\n)[#*_ ]{0,6}(?:final )?ans(?:wer)?(?:[*_ ]*(?:[-–—](?= )|(?=\n))|\.)"
    r"|(?:\bans|(?:^|\n|[.!] )(?:the )?(?:final )?answer|(?:^|\n)A:)"
    r"(?= [$€£]?-?[0-9][0-9.,/]{0,20}(?: [a-z]{1,20}){0,2}[ .!]{0,4}\Z)",
    re.IGNORECASE,
)
"""What an answer is stated after, in one grammar for all kinds."""
_ONE_ROW = re.compile(
    r"\|[^|\n]{1,60}\|[^|\n]{1,60}\|[ \t]*\n\|[ :|-]{3,60}\|[ \t]*\n\|[^|\n]{1,80}\|"
    r"[ \t*]*([^|\n]{1,80}?)[ \t*]*\|(?!\s*\|)"
)
"""A table of two columns and one row, whose value is the last cell."""
_ADVERB = re.compile(r"(?:therefore|thus|hence|then|indeed|clearly|simply)\b[ ,:]*", re.IGNORECASE)
_JOINED = re.compile(
    r"(?:[\s$.]|\\\)|[a-z]{3,12} (?=and\b))*"
    r"(?:(?:,|;|\band\b|\bor\b|\\text\{\s?(?:and|or)\s?\}|\\quad|\\qquad)(?:[\s$]|\\[ ,;(])*){1,4}"
    r"(?:[a-zA-Z]\s*=\s*)?"
)
_JOINED_BY_OR = re.compile(r"\}[\s$.]*\bor\b")
_BASE = re.compile(r"_(?:\{[0-9]{1,2}\}|[0-9])")
"""The base of the number in a box, written behind it."""
_SAME_AS = re.compile(
    r"(?:\b(?:equivalent to|equivalently|the same as|approximately|about|roughly)[,:]?|≈|\\approx)[\s$(\\[]{0,9}\Z",
    re.IGNORECASE,
)
_REJECTED = re.compile(r"[\s$)\\\]]{0,9}(?:is|are|was|must be) (?:rejected|discarded|extraneous|excluded|ruled out)\b")
_EITHER_WAY = re.compile(r"\b(?:depending on|ambiguous|unclear)\b", re.IGNORECASE)
"""What makes of two boxes that "or" joins a hedge, where it stands before them."""
_UNSURE_BEFORE = re.compile(
    r"\b(?:if|(?<!question )(?<!question of )whether|suppose|assum\w+|unless)\b[^.!?\n]*$"
    r"|\bformat\b[^.!?\n]*$"
    r"|\b(?:finish|end|conclude|close)\w* (?:my|your|the|each) \w+ (?:with|by)\b[^.!?\n]*$"
    r"|\bmake sure (?:that )?[^.!?\n]*$|\bin which case\b[^.!?\n]*$"
    r"|[\"”] or [\"“][^\"“”\n]*$"
    r"|\b(?:don'?t|not(?! plausible)|cannot|can'?t|isn'?t|wonder|guess\w*|might|maybe|perhaps|could|probably|unlikely|"
    r"possibl[ey]|former|incorrect|wrong|expla\w+|intermediate|partial|check|an)\b[^.!?,;\n]*$",
    re.IGNORECASE,
)
"""What stands before a statement, in its sentence or its clause, and makes it none."""
HEDGED = re.compile(
    r"\b(?:maybe|perhaps|might"
    r"|could(?! (?:only )?(?:have|buy|make|cover|fit|fill|get|earn|save|read|sell|afford|carry)\b)|probably|possibly"
    r"|unsure|not(?! ambiguous| counting\b| includ| in the | divisible\b| a multiple\b| contain| equal to\b)|cannot"
    r"|\w+n['’]t(?! ambiguous)|unable|(?<!the )unknown|unclear|either|(?<![a-z] )neither"
    r"|(?<=\b(?:is|be) )neither|(?<=\b(?:are|was) )neither|(?<!average )guess"
    r"|impossible|undetermined|insufficient|depends)\b"
    r"|可能|也许|大概|大约|不确定|不知道|无法|如果|假设|我们需要|接下来",
    re.IGNORECASE,
)
INEXACT = re.compile(
    rf"{HEDGED.pattern}|\b(?:roughly|approximately|(?:about|around|nearly|almost)(?=[\s$\\(*]*-?[0-9])"
    r"|between(?=[\s$\\(*]*-?[0-9])(?![^.]*\b(?:is|are|was|were|equals)\b))\b",
    re.IGNORECASE,
)
"""A hedge, or a number that is not meant exactly."""
_TAKEN_BACK = re.compile(
    r"\b(?:let me|let's|i(?:'ll| will| need to| have to| should)) "
    r"(?:redo|recompute|recalculate|reconsider|rethink|start over|start again|try again|correct)\b"
    r"|\b(?:wait|hold on|actually)\b[^.\n]{0,10}\bi (?:dropped|forgot|missed|miscounted|misread|overlooked)\b"
    r"|\b(?:disregard|ignore) (?:that|this|the above|my (?:answer|previous))\b|\bi misread\b"
    r"|\bi (?:made|have made|see) (?:a|an|my) (?:\w+ )?(?:mistake|error)"
    r"|\b(?:no|wait|hmm|oops|actually|hold on)\b[^.\n]{0,20}\b(?:that|this|it)(?:'s| is| was|'s| can't be| isn't)"
    r"(?: not)? (?:right|correct|wrong|incorrect)\b"
    r"|\b(?:my|the) (?:first|above|previous|earlier|initial) (?:answer|result|attempt|value)\b[^.\n]{0,60}(?:\.[0-9])?"
    r"[^.\n]{0,20} (?:is|was) (?:wrong|incorrect|not)\b",
    re.IGNORECASE,
)
"""The text takes back what it said before."""
_DOUBTED = re.compile(
    r"(?:[.!?…]\s{1,4}|\n)[ \t]{0,9}(?:(?:but|no|oh|hmm|now),? )?(?:wait|hold on|however, the (?:problem|question)"
    r"|but the (?:problem|question))\b",
    re.IGNORECASE,
)
_SOLUTION_ALONE = re.compile(
    r"\n?\*\*(?:solution|result)s?[*_: ]{1,6}[^\s*_:][^\n]{0,200}\n[ \t]{0,9}\n", re.IGNORECASE
)
"""A paragraph that is no more than `**Solution: 5**`."""
_DRAWN_AFTER = re.compile(
    r"\b(?:so|thus|hence|therefore|answer|total|final|result|altogether|finally|gives|we (?:get|have|find|obtain))\b"
    r"|⇒|=>",
    re.IGNORECASE,
)
"""What makes of the value that a paragraph of its own states a result on the way."""
_SOLUTION_AFTER = re.compile(
    r"answer[*_ ]*:[*_ ]*(?=(?!the answer)[A-Z][a-z]+(?: [^.=\n ]+){3,30}\. [A-Z0-9(])", re.IGNORECASE
)
"""Where a whole solution in prose stands after "Answer:", if it goes on with calculations."""
_CALCULATED = re.compile(r"[0-9] ?= ?\\?\$?[0-9]")
_BUT_ASKED = re.compile(r"answer would be [^.,]{1,40}, but the (?:problem|question)\b")
"""The text looks again at what it said before, and may come to something else."""
CONCLUSION = re.compile(
    r"(?:therefore|thus|hence|so(?! far\b)|consequently|then,? (?=the final\b)|finally|in conclusion|in total|"
    r"in other words|to (?:conclude|sum up|summari[sz]e)|"
    r"in (?:interval|simplest|lowest|standard|expanded|factored) (?:notation|form|terms)(?=,)|"
    r"altogether|as a result|accordingly|together(?=,? (?:they|the|we|this|it|[A-Z]))|"
    r"(?:(?:out )?of|among(?:st)?|from) the (?:given |available |listed |four |five )?"
    r"(?:options|choices|movies|films|list)(?: given)?|this means|that's|"
    r"(?:putting|combining|taking) (?:the two|both|all(?: of)? (?:this|these)|these|this|everything|it all|them) "
    r"(?:\w+ )?together|"
    r"(?:at|in) the (?:very )?end(?: of the \w+)?|"
    r"(?:multiplying|adding|summing|subtracting|dividing)(?: (?:these|them|it|both))?(?: up)?(?= ?,)|"
    r"(?:after )?(?:adding|summing|counting|cancell?ing|simplifying|factoring)\b[^,.=:$]{1,60}?,? "
    r"we (?:see|get|have|find|obtain)(?: that)?|when [^,=]{1,80}? we (?:get|obtain)(?: that)?|"
    r"i(?:['’]m| am) (?:\w+ )?(?:confident|sure|certain)(?: now)? that|"
    r"(?:we|i) (?:get|have|find|conclude|obtain|are left with)|it follows that|it turns out(?: that)?"
    r"|(?:this|that|which|it) (?:means|gives|yields|makes|leaves|shows)"
    r"(?: (?:us|him|her|them|me|you)(?: with)?)?(?: that)?)\b[\s,:]*",
    re.IGNORECASE,
)
_NEXT_ITEM = re.compile(
    r"\n[ \t]{0,4}\n[ \t]{0,4}(?:\*\*)?(?:Q|[Qq]uestion|[Pp]roblem|Human|User|<\|im_start\|>user)(?:\*\*)?\s?[:\n]"
    r"|\n(?:#{1,4} |\*\*)?(?:Next|Follow-up|Practice|Bonus|Similar|Extra) (?:[Pp]roblem|[Qq]uestion|[Ee]xercise)s?\b"
    r"|\n[^\n]{0,60}\b[Hh]ere(?:['’]s| is) (?:a|another) similar (?:problem|question|one)\b"
    r"|(?<=[.!?)}\]$*])(?:Human|User): |\n\[Question\]|\nYou are an AI assistant\b"
    r"|\n(?:#{1,4} )?(?:Example|Exercise|Question|Problem) [0-9]+[:.\n]|\n(?:Q|Question|Human|User): "
    r"|\n#{1,4} (?:(?:Instruction|Question|Problem|Input|Human|User):?[ \t]*\n|Your (?i:task)\b)"
    r"|\n(?:Now,? )?[Ll]et['’]?s (?:try|do|solve|look at|think step by step about) (?:another|a similar|the next)\b"
    r"|(?<=[.!?] )Let['’]?s (?:try|do|solve) another\b"
    r"|\\n(?:\\n)?(?:Human|User|Q|Question|Assistant): ?"
    r"|<\|(?:im_end|endoftext|eot_id|end_of_text|user|end)\|>|</s>|<end_of_turn>|<eos>|<｜end▁of▁sentence｜>|<\|im_start\|>user|\[/?INST\]"
)
_ANSWERED_AT_ONCE = re.compile(r"\s*Question: [^\n?]{1,100}\? [A-Z][^\n]{0,400}(?!\n+(?:Options|Answer):)(?:\n|\Z)")
"""A question that the text says again and answers: "Question: which is it? That's the tractor."."""
_NEXT_PART = re.compile(r"\n[#*_ ]{0,6}(?:part|step) [0-9]+\b", re.IGNORECASE)
_OWN_PROSE = re.compile(r"[^.\n]{30,400}[a-z)$]\.\s*\Z")
"""A text that ends in a sentence of its own."""
_POSED = re.compile(
    r"\n[ \t]*\n(?!(?:wait|hmm|but|however|now|so|let)\b)"
    r"(?=[^\n?]{1,600}[.,] (?:and |so )?how (?:many|much|long|far|old)\b[^\n?]{1,200}\? \S)",
    re.IGNORECASE,
)
_ANSWERED = re.compile(r"\b(?:answer is|answer:)|####|\\boxed", re.IGNORECASE)
NUMBER = re.compile(
    r"(?<![\w.\u202d\u202e])[-−+]?\s?(?:\\?[$€£])?\s?-?(?:[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:\s?/\s?[0-9]+)?"
    r"(?!-?\w|\.[0-9]|,[0-9]{3}(?![0-9]))(?:\s?\\?%)?"
)
_CUT = re.compile(
    r"(?:\s[-+*/×÷=<>·]|[0-9a-z)] ?[+×÷=]|[(,\\–—])\s*$|[^*]\s\*$"
    r"|(?:[-+*/×÷=]|\b(?:x|of|is|was|be|pays?|costs?|to|for|earns?)) \\?\$$"
    r"|\s\\?\$$|\\(?:times|cdot|div)\s*$|\b(?:times|plus|minus|divided by|multiplied by)\s*$"
    r"|(?<=[\w%)$,:;] )(?:a|an|the|of|at|in|to|on|by|for|from|with|per|and|or|but|if|than|that|which|so|because|since|"
    r"is|are|was|were|has|have|had|will|he|she|they|we|his|her|their|its|every)\s*$"
    r"|\b(?:it|he|she|they|each|which) "
    r"(?:costs?|pays?|spends?|earns?|gets?|gives?|makes?|needs?|takes?|sells?|buys?|equals|becomes)\s*$"
)
"""The end of a text that breaks off within a formula, an enumeration or a clause."""
_REASON_ALONE = re.compile(r"(?:[.!?]\s+|\n)(?:since|because)\b[^,.!?\n:=]*\Z", re.IGNORECASE)
"""A reason that nothing is said to follow from yet."""
_UNFILLED = re.compile(
    r"\n\W*(?:(?:final )?answer|solution|reasoning|explanation)\W*:"
    r"(?:\W*|\W*boxed\{\\?[\[<][a-z][a-z '’]+\\?[\]>]\}\W*)\Z",
    re.IGNORECASE,
)
"""A label and nothing after it, or a form to be filled in."""
_SUM_AT_END = re.compile(r"(?<![0-9.,])([0-9]+(?:\.[0-9]+)?) ?([-−+*×]) ?\$?([0-9]+(?:\.[0-9]+)?) ?= ?\$?([0-9]+)$")
_SAYS = re.compile(
    r"=[^$]*\$$|^\$[^$]+\$$|:[^$:]*\$[^$]+\$$"
    r"|\b(?:is|are|was|be|equals?|gives?|yields?|to|as|get|have|has|leaves|so|thus|hence|therefore|in|with|of)\b"
    r"[^$]*\$[^$]+\$$",
    re.IGNORECASE,
)
"""A last line that ends in maths, and may be whole without a stop."""
_OPEN_DISPLAY = re.compile(r"\n[ \t]*\$\$[ \t]*[^$\s][^$]*$")
SO_SOLVED = re.compile(
    r", so the (?:(?:system|equation|solution|answer)s?|(?:statement|option) that is (?:true|correct)) "
    r"(?:is|are|has)\b",
    re.IGNORECASE,
)
"""What is concluded within a line of checks."""
FIRST = re.compile(
    r"\W*(?:first(?:ly)?\b|next\b|to (?:start|begin)\b|what [^.?\n]{1,40} (?:has|have|costs?|knows?|gets?|needs?):)",
    re.IGNORECASE,
)
"""How a sentence begins that is a step and not the last."""
NEXT_STEP = re.compile(
    r"(?:#{1,6} |\*\*)(?:step|case|part|endpoint|claim|lemma|stage|phase|scenario|method|approach) [^=]*?\**:?",
    re.IGNORECASE,
)
"""The heading of a step that does not come."""
SENTENCES = re.compile(
    r"(?<=[.!?])(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bvs\.)(?<!\bi\.e\.)(?<!\be\.g\.)(?<!\b[ap]\.m\.(?=\s[a-z]))(?![\"')\]]+\s[a-z])[*_`\"')\]$]*\s+(?!-(?![0-9])|[+/=]|\\(?:cdot|times))|\n+"
)
_DISPLAY_END = re.compile(r"(?:(?:\\\]|\$\$)[ \t.]*\n|\\end\{(?:align|gather)\*?\}[ .]?)\s*(?=[*#]|[A-Z][a-z])")
"""A display that a sentence of its own follows; any other display belongs to the sentence around it."""
_SENTENCE_STOP = re.compile(r"(?<!\b[sS]q)(?<!\bcu)(?:[.?;]|!(?!\s*[-+*/=^$\\)]))(?=[*_`$\"')\]]{0,4}(?:\s|$))")
_FIRST = r"(?<!from the )first(?! (?:[0-9]|one|two|three|four|five|six|seven|eight|nine|ten)\b)"
"""Not "the first six"."""
_NEXT = r"(?<!will )next(?! (?:year|month|week|time|day)\b)"
"""Not when something happens again."""
PREMISE = re.compile(
    rf"\b(?:{_FIRST}|{_NEXT}|step|let|need to|given(?! by)|each|then|if"
    r"|than(?! \$?[0-9]+\$? (?:is|are|equals|comes to)\b))\b",
    re.IGNORECASE,
)
ON_THE_WAY = re.compile(rf"\b(?:{_FIRST}|{_NEXT}|step|let|need to)\b", re.IGNORECASE)
"""The words of `PREMISE` that also make a computed result ("each costs 9 / 12 = 0.75") a step."""
GIVEN = re.compile(
    r"^(?:initially|originally|now|next|similarly|meanwhile|also|for|in order)\b"
    r"|\b(?:know|known|recall|remember|note|suppose|assum\w+|denote|consider|say|where|since|because|formula|"
    r"so far|case|when|example|instance|candidates?|options|choices|"
    r"(?:second|third) (?:case|step|equation|condition|part|term)|intermediate)\b",
    re.IGNORECASE,
)
"""Words of a sentence that is on the way to the answer, beyond `PREMISE`."""
AFTERTHOUGHT = re.compile(
    r",? or,? equivalently,? \$[^$]+\$$|,? i\.e\.,? \w+ \\?\$[0-9]+ (?:bill|note|coin)s?\b.*$"
    r"|,? as (?:one|we|you) (?:(?:can|may) )?(?:checks?|verify|verifies|sees?)\b.*$"
    r"|,? as (?:the|this|our) [^,]*\b(?:confirms|shows|predicts)$|; the (?:last|other|remaining|rest)\b.*$"
    r"|, and (?:it(?:['’]s| is) easy to|one (?:can )?easily|we can) (?:verify|check|see)\b.*$"
    r"|,? or,? (?:after|when|upon) [a-z -]+, \$[^$]+\$$|, (?:approximately|roughly) \$?[0-9.]+\$?(?: [a-z ]+)?$"
    r"| when (?:it is )?divided by \$?[0-9a-z]+\$?$|(?<=_[0-9]\$) in (?:base [a-z0-9]+|binary|octal)$"
    r"|, with the [a-z ]+ (?:at|between) .*$|,? i\.e\. a (?:bit|little) (?:over|under|more|less)\b.*$"
    r"|(?<=[$)]) with \$?[A-Z] ?= ?\S.*$|,? as (?:required|desired|claimed|needed|wanted|expected)$"
    r"|(?<=[0-9$)}\]*])(?:, with (?!.*\bbeing\b)[a-z]+|(?:,? (?:which|and (?:it|this)) (?:(?:is|are) )?|,? )"
    r"(?:reached|attained|achieved|obtained|taken|occurs|occurring|happens)(?: only)? "
    r"(?:when|at|for|if|by|with|iff))\b.*$"
    r"|, (?:which is )?(?:attained|reached|achieved)(?: only)? (?:when|at|for|if|iff)\b.*$"
    r"|(?<=[0-9$)}]),? which (?!means (?:that )?(?:you|there|we|i)\b)(?![^$0-9()*]*\b(?-i:[A-Z])\b)[^$0-9()*]*$"
    r"|,? which (?:is|are) [$\\]*[0-9][0-9.,/]*(?:\s?\\?%\$?|\$? (?:\w+ )?"
    r"(?:of|more|less|fewer|times|above|below|(?:great|high|low|larg|small|long|short)er)\b).*$"
    r"|,? (?:or|i\.e\.,?|that is,?|which is) (?:about|approximately|roughly)\b.*$"
    r"|(?<=[0-9]),? which (?:is|represents) an? (?!total\b)[a-z][^=]*$"
    r"|(?<=[a-z]) at [$€£]?[0-9][0-9.,]* each$"
    r"|,? or [$€£]?[0-9][0-9.,]* [a-z]+ (?:for each|per)\b.*$"
    r"|,? (?:or|which (?:is|equals|makes|(?:works out|comes|amounts) to)) [0-9]+ hours? and [0-9]+ minutes?$"
    r"|(?<=[0-9$)}\]]) at (?:that|this) (?:time|moment|point|instant)$"
    r"|(?<=[0-9])(?:,| [—–]) an? (?:quarter|half|third|tenth) of an? [a-z]+(?: [a-z]+)?$"
    r"|,? instead of [$€£]?[0-9][0-9.,]*$|,? which leaves [$€£]?[0-9][0-9.,]* [a-z ]*(?:over|to spare|extra)$"
    r"|,? (?:or|which is|that is|that['’]s|i\.e\.),? [0-9]+ cents$"
    rf"|(?:,? i\.e\.,?|, that is,?| that is,|,? and (?:that|this) is) (?!(?:{'|'.join(NUMBER_WORDS)}) [a-z]+$)[a-z -]+$"
    r"|,? or,? in (?:general|standard|slope-intercept|vertex|decimal) form,? .*$"
    r"|,? or (?:a little|just|slightly) (?:under|over|more|less)\b.*$|,? or -?[0-9.]+ (?:if|when|in)\b[^=]*$"
    r"|,? i\.e\.,? (?:[0-9.]+\s?\\?% of|(?:he|she|it|they) [a-z]+ (?:on|in|at|by))\b.*$"
    r"|,? or \$?[0-9.]+(?:\s?\\?%\$?|\$? as an? \w+)$"
    r"|(?<=\$) with (?:a )?remainder (?:of )?\$?0\$?$|,? or \$[^$]+\$ as an? [a-z ]+$|,? provided (?:that )?.*$"
    r"|,? valid (?:for|when|where|if) \$?[a-z]\$? ?(?:≠|=|[<>≤≥]|\\(?:neq?|[lg]eq?)).*$"
    r"|,? for (?:all|every|any)(?: (?:real|positive|integers?|numbers?|values of)){0,3} \$?[a-z]\$?$",
    re.IGNORECASE,
)
_WHERE_REACHED = re.compile(
    r"(\b(?:is|are|be|equals?|of|through) (?!\$?0\b)(?:\$[^$]+\$|\([^()]*\)|-?[0-9][0-9.,/]*?)),? "
    r"(?:at|when|for|where|if) \$?[a-z]\$? ?(?:=|is) ?[^,;=]*$"
)
"""A value, as of an extremum, and the point at which it is taken."""
_AT_THE_END = re.compile(
    r"after (?:the (?:last|final)|all (?:the |of the )?(?:three|four)?) ?(?:swap|trade|switch|move)\w*, "
    r"|when (?:the \w+|it|everything|all of this) (?:ends|is over|has ended), ",
    re.IGNORECASE,
)
_AFTERWARDS = re.compile(
    r"^(?:after (?!(?:that|this)\b)|(?:that )?when |compared (?:with|to) )[^,=$]{1,80}, (?=[A-Za-z])", re.IGNORECASE
)
"""What a sentence's value holds after, or beside: "after he gave away 3 of them"."""
_IN_RANGE = re.compile(
    rf"(\bthere (?:are|is) [^.,=]{{0,120}}(?:[0-9]|\b(?:{'|'.join(NUMBER_WORDS)})\b)[^.,=]{{0,120}}[a-z$]) "
    r"between [$\\]*[0-9][0-9.,]*\$? and \$?[0-9][0-9.,]*\$?(?:,? inclusive)?$"
)
"""A count, and between which numbers it is."""
_LAST_DISPLAY = re.compile(
    r"(?:(?<!\\)\\\[((?:(?!\\\]).)*)\\\]|(?<!\$)\$\$((?:(?!\$\$).)+)\$\$|(?<![$\w])\$([^$\n]+=[^$\n]+=[^$\n]+)\$|"
    r"(?:^|\n)\$([^$\n]+=[^$\n]+)\$|"
    r"(\\begin\{(?:align|gather)\*?\}(?:(?!\\begin\{(?:align|gather)).)*\\end\{(?:align|gather)\*?\}))[ .\n]*\Z",
    re.DOTALL,
)
"""The maths that a text ends with: a display, or a chain of equations in a line."""
_INVERSE = re.compile(r"(?:[a-zA-Z]\^\{-1\}\s?\([a-z]\)|[A-Z]\^\{-1\})\s*=([^=]+)")
_DISPLAY_LINE = re.compile(r"(?:\$\$|\\\])[ .]*\n[^\n$]+\Z")
"""A display that one line follows."""
_IN_FORM = re.compile(
    r"\bin (?:slope-intercept|standard|general|vertex) form (?:is|becomes|reads)$|\bthat (?:reads|becomes)$"
    r"|\b(?:simplif\w+|rearrang\w+|convert\w*|expand\w*|distribut\w+)(?: it| this)? (?:in)?to "
    r"(?:slope-intercept|standard|general|vertex) form:$",
    re.IGNORECASE,
)
"""What leads to the equation of a curve."""
_STEP_LABEL = re.compile(r"(?:#+ |\*\*)?Step [0-9]{1,2}[.:]?\**:?", re.IGNORECASE)
_BOLD_ROW = re.compile(r"\n\|[ \t]*\*\*[^*|\n]+\*\*[ \t]*\|(?:[^*|\n]+\|){0,3}[ \t]*\*\*([^*|\n]+)\*\*[ \t]*\|\Z")
_OPERATOR = re.compile(r"\\(?:int|sum|prod|lim)(?![a-z])")
"""What binds the letters behind it."""
CONDITIONAL = re.compile(r"\bif\b[^.]*,? or\b[^.]*\bif\b")
"""One value in one case, another in another."""
_IS_THE_ANSWER = re.compile(
    r"(?:[^$]*?(?:,|\bgives|\bget|\bobtain) )?"
    r"(\$[^$]+\$|[a-z] = -?[0-9][0-9./]*|(?=\S*[0-9\\])[^\s,]+) (?:is|are|as) (?:the|our|my) "
    r"(?:(?:(?:final|only|correct|desired|required|right) )*(?:answer|solution|result|value)s?"
    r"(?: (?:that )?(?:we|you|they)(?: were|'re| are) (?:looking|asked) for)?"
    r"|(?:final|only|correct|desired|required|right) \w+(?: (?:for which|such that|that|with) .*)?|number of [^$0-9]+)",
    re.IGNORECASE,
)
_LOOKED_FOR = re.compile(
    r"the [a-z]+(?: [a-z]+)? (?:that )?(?:we|you)(?: were| are|['’]re) (?:looking|asked) for (?:is|are):? (.{1,200})",
    re.I,
)
_HEADING = re.compile(r"[*_#\s]*(?:conclusion|in summary|summary)[*_]*:[*_]*\s*", re.IGNORECASE)
_OUR_ANSWER = re.compile(
    r",? (?:which|(?:(?:and|so) )?(?:that|this|it)) is (?:our|the|my) "
    r"(?:final |desired |required |requested )?(?:answer|result|value|choice|pick)$"
    r"|, (?:our|the|my) (?:final )?(?:answer|result)$",
    re.IGNORECASE,
)
_SAID = re.compile(r"\b(?:which|(?:and )?(?:that|this)) is (?:our|the|my) (?:final |desired |required )?answer[.!]")
"""After it a text says nothing new of its answer."""
_LEADS = re.compile(
    r"(?:(?:,| [—–])\$?\s*|(?<=\w) (?=so (?:he|she|they)\b))(?:and (?=so|thus|hence|then \$?[a-zA-Z] =))?"
    r"(?:which (?:leaves(?: us with)?|makes|gives|means|(?:simplifies|reduces|evaluates) to)(?: that)?|"
    r"that(?: is|'s)(?:,|(?= \$?[0-9]))|i\.e\.,?|so|"
    r"therefore|thus|hence|whence|then|which (?:is|are|equals)(?=\s[\\$]*[0-9])|and since [^,]*,|"
    r"for an? (?:total|profit|loss|cost|price) of|giving(?: us)?|making|meaning(?: that)?|"
    r"leaving (?:us|him|her|them|me|you) with|(?:bring|tak)ing it (?:down |up |back )?to|"
    r"(?:we|I) (?:get|have|find|see|obtain|conclude)(?: that)?)\s"
    r"|(?<=[0-9$}]) which (?:(?:simplifies|reduces) to|means(?: that)?)\s"
    r"|,? and (?:dividing|multiplying|splitting|sharing|adding|subtracting)\b[^,.=]{1,60},\s"
    r"|(?<=\w) (?:tells|shows) us that\s"
    r"|(?<=[\w$]),? and (?:we )?(?:obtain|ends? up with|arrive at|therefore|thus|hence)\s"
)
"""What leads to the conclusion within a sentence."""
_THEREFORE_HOLDS = re.compile(
    r"(?<=[a-z$]) (?:therefore|thus|hence)(?= (?:holds|has|have|equals|is|are|takes|needs|costs|can|must)\b)"
)
_BECAUSE_AFTER = re.compile(r",? because\b.*$", re.IGNORECASE)
_SUPPOSED = re.compile(r"(?:if(?! (?:you|we) follow)|suppos\w+|assum\w+|unless)\b", re.IGNORECASE)
_BECAUSE = re.compile(
    r"(?:since|because|as|given that)\b(?:\$[^$]*\$|[^=$]|(?<=[0-9) ])= ?[0-9][0-9.]*(?=,))*(?:,|(?<=,\$))\s+",
    re.IGNORECASE,
)
AIM = re.compile(
    r"\b(?:theorem|identity|equations?|formula|rewrite|recall|cases?|steps?|unknowns?|variables?|"
    rf"{_FIRST}|need|must(?! (?:be|(?:have )?\w+ [0-9]))|find|solv\w*|comput\w*|minimi\w+|maximi\w+|consider|"
    r"us(?:e|ing)|substitut\w+|apply|check|show|prove|want|factori[sz]ation(?! of \$?[0-9]+\$? is))\b",
    re.IGNORECASE,
)
"""Words of a sentence that says what to do next."""
IS = re.compile(
    r"\b(?:is|are|was|were|equal to|equals?|be|measures|becomes|(?:c[ao]mes?(?: out)?|works out|amounts?|adds? up|"
    r"evaluates|simplifies|reduces|collapses|boils down|sums|totals) to|"
    r"est|sont|vaut|ist|sind|beträgt|es|son|mide|vale|è|sono|"
    r"ends? in the digits?|leaves (?:us )?with|an? (?:[a-z]+ )?(?:total|remainder|area|volume|perimeter) of|"
    r"(?:has|have) (?:an? |the )?(?:length|area|perimeter|volume|measure|value|radius)(?: of)?|"
    r"lies? in|factors? (?:as|into)|(?:passes through|ends?(?: up)? at|meet at|intersect at)(?: the point)?|"
    r"(?:has|have|leaves?|gives?|makes?|yields?|prints?|outputs?)"
    r"(?=\s+(?:exactly |only |a total of )?\\?[$€£]?(?:[0-9](?![0-9.,]*[a-z^])|√)))\b"
    r"(?: (?:equal to|(?:given|solved|satisfied) by(?! the (?:ordered|point|pair|triple))"
    r"|written(?: as)?|at(?=[\s$\\]*(?:left\s?)?\()"
    r"|(?:(?:given|solved|satisfied) by |at )?the (?:ordered )?(?:point|number|value|interval|set|pair|triple)"
    r"|exactly|just|simply|only|actually|indeed|currently|now|also)\b)?"
    r"(?=[\s$:\\])"
)
NAME = re.compile(
    r"(?:\\[a-z]+ ?)?(?:[a-zA-Z]{1,3}|\{[a-zA-Z]{1,3}\}|\[[a-zA-Z]{1,3}\])'{0,3}(?:\^\{-1\}|⁻¹)?"
    r"(?:_\w|_\{[^{}]*\})?(?:\([^()]*\))?"
    r"|\(\\?[a-z]+(?:,\s*\\?[a-z]+)+\)"
)
_OF_FUNCTION = re.compile(
    r"[A-Za-z](?:\^\{-1\})?\s?(?:\\left)?\((?:[^()]|\([^()]*\))*\)|\|[a-z]\|"
    r"|\\(?:log|ln|sin|cos|tan|angle)(?![a-zA-Z])[^=<>]*"
)
"""What a box may name before its value: `P(\\text{even})`, `\\log_2 \\sqrt{x}`."""
EQUATION = re.compile(
    r"(?<![\w.$\\^{])-?[0-9.]*[0-9]\s?(?:[a-cefijn-rt-zA-KM-Z]|[a-z](?=\^))(?![a-zA-Z])(?:\^\{?[0-9]\}?)?\s*"
    r"(?:[-+][^=<>]*)?=[^=]*$"
)
"""One that is still to be solved: `4a = 80`, `5n + 10d = 75`; the other letters may be units (`2h = 120 min`)."""
INEQUALITY = re.compile(r"[<>≤≥]|\\[lg]e(?:q|qslant)?(?![a-z])")
NOT_THAT = re.compile(
    r",? (?:(?:and )?not|instead of|rather than)\s(?:\S+|\$[^$]*\$)(?: (?:as|like|which|that) [^.]*)?$"
)
CURVE = re.compile(r"(?:the )?equation of\b", re.IGNORECASE)
_LABELLED = re.compile(r"[*_#\s>=-]*([A-Za-z][\w' ,()&+-]{0,60}?)[*_]*:[*_]*\s+(\S.*)", re.DOTALL)
"""A closing line such as "Total animals: 9"."""
NO_RESULT = re.compile(
    r"\b(?:q|options?|clues?|premises?|task|description|input|example|hint|note|known|problem|question|points?)\b",
    re.IGNORECASE,
)
SUMS_UP = re.compile(r"\b(?:total|sum|final|result|altogether|overall|answer|in all)\b", re.IGNORECASE)
PLAN = re.compile(
    r"^(?:to|let|multiply|add|subtract|divide|find|calculate|compute|determine|count)\b|\bwants? to\b"
    r"|\b(?:we|i)(?:'d| would|'ll| will| can| must| should| need to| have to)? "
    r"(?:multiply|add|subtract|divide|"
    r"use|start|calculate|compute|find|know(?! how (?:much|many)\b[^.:]*:)|need|solve|set|substitute|look|consider)\b"
    r"|\blet \w+ be\b|(?<!are )\b[0-9]+ of (?:them|these|those)\b|\b[a-z] [-+] [0-9]",
    re.IGNORECASE,
)
_RULER = re.compile(r"\n[-#*_=]{2,}$")
_FENCE_LINE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
REFUSED = re.compile(
    r"(?:(?:\bnot|n['’]t)(?: have| give(?: us)?| provide| contain| include)? (?:enough|sufficient)|\bno|\binsufficient"
    r"|\bmore|\bmissing|\bincomplete) information\b"
    r"|\\boxed\{\s?\\text\{\s?(?:(?:your|the) )?(?:final )?answer\s?\}\s?\}"
    r"|\bneed more context\b|\bthere seems to be an? (?:typo|mistake|error) in the (?:problem|question)\b"
    r"|\bnot clear (?:which|what|whether)\b|\b(?:not|never) (?:given|known|specified|stated|provided)\b"
    r"|\b(?:cannot|can['’]?t|could(?: not|n['’]t)|(?:unable|not able|impossible) to)(?: be)? "
    r"(?:give|determin\w+|decid\w+|settle|choose|answer\w*|solv\w+|say|tell|know\w*|find|found"
    r"|(?:pick|select|favou?r|prefer)(?= (?:one|either)\b[^.\n]{0,40}\b(?:over|above)\b| between\b))\b"
    r"|\b(?:not able|unable) to (?:complete|finish)\b"
    r"|\b(?:remains?|needs?|has) to be (?:done|found|computed|checked)\b|\brun(?:ning)? out of (?:space|time|tokens)\b"
    r"|\bas an exercise (?:for|to) the reader\b|\b(?:hard|difficult) to (?:say|tell|decide)\b(?! at first)"
    r"|\bnot sure (?:which|what|whether)\b|\b(?:really|still|honestly) not sure\b"
    r"|\bno (?:clear|definite|single|right) answer\b"
    r"|\bpeople (?:could|may|might) disagree\b"
    r"|\blet(?: me|['’]s| us) (?:start|begin) with\b[^.\n]*\.?\s*\Z"
    r"|\bdo(?:es)?n['’]t (?:say|tell|give|specify|state|let)\b|\bdepends (?:on|how)\b"
    r"|\bplease (?:give|send|provide|share|clarify|run)\b"
    r"|\bwhich (?:of (?:these|the two|them)|one|reading|interpretation) (?:is|(?:do )?you) (?:mean|meant|intended)\b"
    r"|\b(?:would you like me to|shall i|should i|do you want me to) "
    r"(?:carry|proceed|continue|compute|calculate|solve|go)\b"
    r"|\b(?:give it a (?:go|try)|your turn|take it from here|over to you)\b[^.\n]*\Z"
    r"|\bdoes this (?:plan|approach)\b|\b(?:you|try to|and) (?:can |could |should )?continue from here\b",
    re.IGNORECASE,
)
"""What a text without boxed or stated answer says of it near its end."""
_LOOP = 60
"""Characters at the end of a text that stand in it again and again."""
_OPTIONS_ASKED = re.compile(r"\?\W*\n(?:[ \t]*\(?[A-H][.):] [^\n]{1,80}(?:\n|\Z)){2,}\Z")
"""A question and its options, and nothing after."""
_ASKED_LAST = re.compile(
    r"\b(?:(?:we|i)(?:['’]re| are| am) asked (?:to|for|how|what|which)"
    r"|(?:question|problem) (?:is asking|asks)(?! only\b)(?: us)?)\b[^.=?!:,]*\.?\s*\Z",
    re.IGNORECASE,
)
"""What is sought, said at the end."""
_STILL_TO_DO = re.compile(
    r"(?:[.!?]\s+|\n)(?:(?:now|but|however|next|then|finally),? )?(?:we|i) still (?:have|need|must)\b[^.\n=]*\.?\W*\Z"
    r"|[.!?]\s+(?:once|when) you(?:['’]ve| have)? (?:found|got|worked|figured)\b[^.\n=]*\.?\W*\Z",
    re.IGNORECASE,
)
"""A step that does not come, or is left to the reader: "We still have to add the labor"."""
_BUT_CONCLUDES = re.compile(
    r"\n[*_# ]*(?:so|thus|hence|therefore|conclusion)\b[^\n]*[0-9]|(?:\bnot|n['’]t) (?:the question|asked)\b"
    r"|\bI(?:(?:['’]d| would) (?:answer|say)|(?:['’]ll| will) go with)\b[^.\n]*[0-9]",
    re.IGNORECASE,
)
_ASSUMED = re.compile(
    r"[,;.] (?:so )?(?:i(?:['’]ll| will)?|we(?:['’]ll| will)?|let['’]s|let us) assum\w+\b"
    r"|, but (?:it does|we do|(?:that|this) is (?:all|not))\b",
    re.IGNORECASE,
)
"""What is not given is assumed, or is not needed."""
_CONCLUDED_BEFORE = re.compile(
    r"(?:^|\n)(?:so|thus|hence|therefore)\b[^\n]*\*\*[^*\n]*[0-9][^*\n]*\*\*[^\n]*\.\s*\n\s*\Z", re.IGNORECASE
)
"""What makes of "would you like me to calculate" at the end an offer to do more."""
_EXPLAINED_NEXT = re.compile(
    r"([^.\n]{1,200})\.\s+"
    r"(?:this is (?:because|since)|that(?:['’]s| is) because|the reason is|because|to see (?:why|this))\b",
    re.IGNORECASE,
)
_ABOVE = re.compile(r"\b(?:result|answer|value) (?:stated |given )?above\W*\Z", re.IGNORECASE)
_FIRST_SENTENCE = re.compile(r"([^.\n]{1,200})\.\s")
_OFFERED = re.compile(
    r"(?:\n[ \t]*|(?<=[.!?]) +)(?:would you like|do you want|want) to (?:try|see|practi[sc]e)\b[^\n]*\?\s*\Z"
    r"|(?:\n[ \t]*|(?<=[.!?*]) +)(?:if you(?:['’]d| would) (?:like|prefer)|let me know|feel free"
    r"|(?:remember|note|recall) that"
    r"|would you like me to(?! (?:carry|proceed|continue|compute|calculate|solve|go)\b))\b[^.!?\n]*\Z",
    re.IGNORECASE,
)
"""A last paragraph that offers another problem, and an offer that breaks off."""
_EMOJI = re.compile(" ?[\U0001f300-\U0001faff\u2600-\u27bf\ufe0f\u200d]+")
_LAST_EMOJI = re.compile(f"([\\w)%$°])(?:{_EMOJI.pattern})\\Z")
"""It finishes a sentence as a full stop does."""
_ITEM_NUMBER = re.compile(r"[0-9]{1,2}\.")
_BULLET = re.compile(r"^[ #>]*(?:-+(?= |[^-0-9.$\\]))?[ #>]*")
MARKUP = " \t\r\n*_`>:"
_RATIO = re.compile(r"[0-9]{1,9}(?: ?: ?[0-9]{1,9}){1,3}")


def opened_thinking(prompt: str) -> str:
    """Return the tag that opens thinking at the prompt's end, with the white space after it; empty if there is none."""
    begins = deque(_THINKING_BEGINS.finditer(prompt), maxlen=1)
    return prompt[begins[0].start() :] if begins and not prompt[begins[0].end() :].strip() else ""


def after_thinking(text: str) -> str | None:
    """Return what follows the last finished thinking, or None while thinking is open.

    Labels of the answer (in other languages, of JSON) become English, programs and underlines go.
    """
    closed = deque(_THINKING_ENDS.finditer(text), maxlen=2)
    if closed:
        rest = text[closed[-1].end() :]
        if not rest.strip() and len(closed) > 1:
            rest = text[closed[0].end() : closed[1].start()]  # closed once more after the answer
        text = rest
    if _THINKING_BEGINS.search(text):
        return None
    if "</" in text:
        text = _ANSWER_TAG.sub(lambda match: f"<{match[1] or ''}answer>", _BOLD_TAG.sub("**", text))
    inside, tagged, after = text.rpartition("</answer>")
    if tagged:
        before, opened, inside = inside.rpartition("<answer>")
        text = f"{before}\nAnswer: {inside.strip()}\n{after}" if opened else f"{before}{inside}\n{after}"
    if "~~" in text:
        text = _STRUCK.sub("", text)
    if "boxed{" in text:
        text = _BARE_BOX.sub(r"\\boxed{", text)
    text = _CORRECTED.sub(_kept, _END_OF_PROOF.sub(".", text))
    text = _UNDERLINE.sub("", text)
    if "[asy]" in text:
        text = _ASYMPTOTE.sub("\n", text)
    if "def " in text:
        text = _FUNCTION.sub("\n", text)
    if "```" in text:
        text = _FENCE_LINE.sub("", _PROGRAM.sub(_printed, text))
    if '"' in text:
        text = _JSON_ANSWER.sub(lambda match: "\nAnswer: " + (match[1] or match[2]).replace("\\\\", "\\") + "\n", text)
    if "|" in text:
        text = _TABLE_ROW.sub(lambda row: f"{'Answer' if row['answer'] else 'Total'}: {row['value'].strip()}", text)
    if "\\text" in text:
        text = _WORDED.sub(
            lambda said: f"{said[1]}{said[2]} ${said[3].strip()}${said[4]}", _AND.sub(r"\\text{ and }", text)
        )
    return _LABEL.sub(_in_english, text)


def _printed(match: re.Match[str]) -> str:
    """Return nothing of a program but the last line of a session of its interpreter that a text ends with."""
    last = "\n>>> " in match[0] and _NOTHING_MORE.match(match.string, match.end()) is not None
    return f"\n{match[0].rstrip('`').rstrip().rpartition(chr(10))[2]}\n" if last else "\n"


def _in_english(match: re.Match[str]) -> str:
    label = match[0].strip()
    if re.fullmatch(r"\$*\s*(?:⇒|\\(?:Longr|R)ightarrow|\\implies)", label):
        return "Therefore, $" if "$" in label else "Therefore, "
    if label in ("=>", "⇒", "⟹", "→") and _LETTER_ALONE.match(match.string, match.end()):
        return "The answer is "
    return _IN_ENGLISH.get(label[:11], "The answer is ")


def _kept(match: re.Match[str]) -> str:
    """Return the verb of a correction whose first half goes."""
    return "is" if re.match(r"is|are|was", match[0], re.IGNORECASE) else ""


def own_part(text: str, read: Callable[[str], T | None]) -> T | None:
    """Return what `read` finds before the model goes on with a question of its own, else in the whole text."""
    first = next((each for each in _NEXT_ITEM.finditer(text) if not _ANSWERED_AT_ONCE.match(text, each.start())), None)
    own = text[: first.start()] if first else text
    own = own[: next((each.start() for each in _POSED.finditer(own) if _just_answered(own, each.start())), None)]
    if (answer := read(own)) is not None or first is None:
        return answer
    if re.match(r"(?:Q|Problem|Human|User)\b", first[0].strip()) and _OWN_PROSE.search(own):
        return None  # a text of its own that came to nothing
    (other,) = deque(_NEXT_ITEM.finditer(text, first.start()), maxlen=1)
    last = text[other.start() :].strip()
    return None if "?" not in last and "\n" not in last else read(text)  # it ends in another question


def _just_answered(text: str, end: int) -> bool:
    """Return whether the end of a paragraph states an answer, so that what is posed after it is another problem."""
    return _ANSWERED.search(text, max(0, end - 60), end) is not None


def boxed_answer(text: str) -> tuple[int, str] | None:
    box = last_box(text)
    if box is None:
        return None
    doubted = _EITHER_WAY.search(text[max(0, box[0] - 150) : box[0]]) or REFUSED.search(text, box[1], box[1] + 150)
    if doubted and _JOINED_BY_OR.search(text[box[0] : box[1]]):
        return None
    if base := _BASE.match(text, box[1]):
        return base.end(), box[2] + base[0]
    return box[1], value_alone(box[2])


def value_alone(answer: str) -> str:
    """Return an answer without the name that it is the value of: `P(\\text{even}) = \\frac12`."""
    if worded := re.fullmatch(
        r"(?:\\text\s?\{[^{}]*\}[^{}=]{1,20})?\\text(?:bf)?\s?\{[^{}]*(?:\b(?:is|are|equals)|\b[Aa]nswer:)\s*\}\s*(.+)",
        answer,
    ):
        return worded[1]
    left, _, right = answer.partition("=")
    if re.search(r"\\(?:[lc]?dots)(?![a-z])", left) and is_value(unwrapped(right)):
        return unwrapped(right)
    if re.fullmatch(r"[A-Z](?:\^\{-1\}|\^T)?", left.strip()) and re.match(r"\\begin\{[pbv]?matrix\}", right.strip()):
        return right.strip()
    return (
        unwrapped(right)
        if _OF_FUNCTION.fullmatch(left.strip(" $")) and is_value(unwrapped(right.strip(" $")))
        else answer
    )


def settled(
    text: str, stated: tuple[int, str] | None, boxed: tuple[int, str] | None, conclude: Callable[[str], str | None]
) -> str | None:
    """Return the later of the last statement and the last box, unless the text takes it back, else a conclusion."""
    found = boxed if boxed and (stated is None or stated[0] < boxed[0]) else stated
    if found is None:
        return conclude(text)
    if text.rstrip().endswith(",") and _NEXT_PART.search(text, found[0]):
        return None  # a result on the way, and the next part is cut off
    after = max(0, found[0] - 60)
    if re.match("result|solution", text[found[0] :], re.IGNORECASE):
        _, *later = SENTENCES.split(text[found[0] :], maxsplit=1)
        headed = re.match(r"solutions?[*_ ]*:[*_ ]*\n(?![-•*] )[^=]*=[^=]*\n", text[found[0] :], re.IGNORECASE)
        alone = _SOLUTION_ALONE.match(text, max(0, found[0] - 3)) is not None
        remarked = alone and bool(later) and _DRAWN_AFTER.search(later[0]) is None
        if later and not remarked and ((end := conclude(later[0])) is not None or headed):
            return end  # a result on the way
    if (solution := _SOLUTION_AFTER.match(text, found[0])) and _CALCULATED.search(text, solution.end()):
        return conclude(text[solution.end() :]) or found[1]
    taken_back = list(deque(_TAKEN_BACK.finditer(text, after), maxlen=1))
    if taken_back:
        return conclude(text[taken_back[0].end() :])
    doubted = list(deque(_DOUBTED.finditer(text, found[0]), maxlen=1))
    if (but := _BUT_ASKED.match(text, found[0])) and not doubted:
        doubted = [but]
    return (conclude(text[doubted[0].end() :]) if doubted else None) or found[1]


def last_box(text: str, joined: bool = True) -> tuple[int, int, str] | None:
    """Return (start, end, content) of the last complete, non-empty box.

    Boxes of one sentence that are joined by a comma, "and" or "or" are one list.
    """
    if _BOX_WORD.search(text) is None:
        return None
    boxes = _complete_boxes(text)
    while len(boxes) > 1 and _beside(text, *boxes[-1][:2]):
        boxes.pop()
    found: tuple[int, int, str] | None = None
    for start, end, content in reversed(boxes):
        if found is None:
            found = (start, end, content)
        elif joined and end <= found[0] and _JOINED.fullmatch(text[end : found[0]][:60]) and found[0] - end < 60:
            if content == found[2]:
                break
            found = (start, found[1], f"{content}, {found[2]}")
        else:
            break
    return found


def _beside(text: str, start: int, end: int) -> bool:
    """Return whether a box holds the value of another in another form, or what is rejected."""
    return _SAME_AS.search(text, max(0, start - 60), start) is not None or _REJECTED.match(text, end) is not None


def _complete_boxes(text: str) -> list[tuple[int, int, str]]:
    """Return the last boxes that are closed and hold something, in order; an outer box hides those in it."""
    text_end = len(text)
    words = {match.start(): match.end() for match in _BOX_WORD.finditer(text)}  # no object of its own for each box
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACES.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    found: list[tuple[int, int, str]] = []
    for start, end in reversed(words.items()):
        if len(found) > _MOST_BOXES:
            break
        at = end
        while at < text_end and at < end + 8 and text[at] in " \t":
            at += 1
        if at < text_end and text[at] == "{":
            close = closing.get(at)
            unclosed = _UNCLOSED.match(text, at + 1) if close is None else None
            if unclosed and _balanced(unclosed[1]) and not (unclosed["cut"] is not None and _in_formula(text, start)):
                box = (start, unclosed.end(1), unwrapped(unclosed[1]))
            elif close is None or close - at > LONGEST_MATHS + 1:
                continue
            else:
                box = (start, close + 1, unwrapped(text[at + 1 : close]))
        else:
            bare = re.compile(
                r"(-?[0-9][0-9,]*(?:\.[0-9]+)?|\\[dt]?frac\s?(?:\{[^{}]*\}|[0-9])(?:\{[^{}]*\}|[0-9]))(?![\w{])"
            ).match(text, at)
            if bare is None:
                continue
            box = (start, bare.end(), bare[1].rstrip(","))
        if not box[2] or not re.search(
            r"\w|[\])}>]",
            re.sub(
                r"\\[hv]?(?:phantom|space)\s?\{[^{}]*\}|\\(?:text\w*|quad|,|;|!|ldots|dots|square)(?![a-zA-Z])",
                "",
                box[2],
            ),
        ):
            continue
        if placeholder(box[2]):
            continue
        if found and box[1] >= found[-1][1]:
            found.pop()
        found.append(box)
    return found[::-1]


def _in_formula(text: str, at: int) -> bool:
    """Return whether a formula is open at a place, as far as its line tells."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return before.count("$") % 2 == 1 or any(
        before.rfind(opened) > before.rfind(closed) for opened, closed in (("\\(", "\\)"), ("\\[", "\\]"))
    )


def _balanced(maths: str) -> bool:
    return maths.count("{") == maths.count("}")


def placeholder(content: str) -> bool:
    """Return whether an answer is a form that was shown and not filled in."""
    bare = re.sub(r"\\text[a-z]*|[{}<>\[\]()_\s.]+|\\", " ", content).strip().lower()
    return _PLACEHOLDER.fullmatch(bare) is not None


def last_statement(text: str, read: Callable[[str], str | None]) -> tuple[int, str] | None:
    """Return (position, answer) of the last statement that `read` finds an answer in.

    Not one in a question, a supposition or a denial, nor one whose hedge is all that follows: that takes back
    what was stated before.
    """
    start = max(0, len(text) - _TAIL)
    tail = text[start:]
    found = list(deque(_STATEMENT.finditer(tail), maxlen=20))
    on_the_way: tuple[int, str] | None = None
    if len(found) > 1:
        last = found[-1].start()
        if _cut_repetition(tail, 1 + max(tail.rfind("\n", 0, last), 1 + tail.rfind(". ", 0, last))):
            found.pop()
    for match in reversed(found):
        before = tail[max(0, match.start() - 80) : match.start()]
        if (match[0][0] != "#" or before.endswith(('"', "“", "`"))) and _UNSURE_BEFORE.search(before):
            continue
        noun, qualified = (match["noun"] or "answer").lower(), _SURE.search(before[-40:])
        if noun in ("option", "choice", "pick", "recommendation") and not (
            qualified and (qualified[1] or qualified[2])
        ):
            continue
        if len(tail) - match.end() > NEAR_END and not noun.startswith("ans") and not (qualified and qualified[2]):
            continue  # a result on the way
        after = _ADVERB.sub("", tail[match.end() : match.end() + 2 * LONGEST_MATHS].lstrip(" *_:"))
        if (answer := read(after)) is not None:
            if _solution_cut(tail, match):
                return None
            if noun.startswith("ans") or match[0][0] == "#":
                return start + match.start(), answer
            on_the_way = on_the_way or (start + match.start(), answer)
        elif INEXACT.match(after.lstrip(MARKUP)[:60]):
            return None
    return on_the_way


def _solution_cut(tail: str, match: re.Match[str]) -> bool:
    """Return whether a text is a whole solution after "Answer:", cut off."""
    more = tail[match.end() :]
    return (
        not re.search(r"\w", tail[: match.start()])
        and re.match(r"[^.\n]{30,}\. [A-Z]", more.lstrip(MARKUP)) is not None
        and re.search(r"[\w,]$", more) is not None
    )


def _cut_repetition(text: str, line: int) -> bool:
    """Return whether the text from a line on is what it said before, cut off ("The answer is 1" for 104)."""
    last = text[line:]
    before = text.rfind(last, 0, line) if 0 < len(last) < 300 else -1
    return before >= 0 and not text[before + len(last)].isspace()


def stated_line(after: str) -> str:
    """Return the rest of the line or, where that is empty, the next lines' display or line."""
    after = after.lstrip(MARKUP)
    for opened, closed in (("\\[", "\\]"), ("$$", "$$")):
        if after.startswith(opened):
            inside, found, _ = after[len(opened) :].partition(closed)
            return inside.strip() if found else ""
    if bullets := re.match(r"(?:[-•*] ([^\n]{1,80})(?:\n|\Z)){2,12}", after):
        return ", ".join(line[2:].strip() for line in bullets[0].splitlines())
    if table := _ONE_ROW.match(after):
        return str(table[1])
    line = after.partition("\n")[0]
    return "" if line.rstrip(MARKUP.replace(":", "")).endswith(":") else line


def first_sentence(line: str) -> tuple[str, str]:
    """Return the first sentence of a line and the sign that ends it."""
    stop = _SENTENCE_STOP.search(line)
    if stop is None:
        return line.strip(), ""
    return line[: stop.start()].strip(), stop[0]


def reads_as_maths(piece: str) -> bool:
    """Return whether the text is maths, and not a hedge between numbers."""
    if (
        not piece
        or piece.lower() in ("a", "an", "the", "i")
        or re.fullmatch(r"(?!(?:sin|cos|tan|cot|sec|csc|ln|log)\b)[A-Za-z']+ [A-Za-z' ]+", piece)
    ):
        return False
    if re.search(r"[0-9]\s*\$?\s+or\s+\$?\s*-?[0-9]", piece) or "?" in piece or INEXACT.search(piece):
        return False
    if _RATIO.fullmatch(piece):
        return True
    exact, approximately, _ = re.sub("≈", r"\\approx", piece).partition("\\approx")
    ways = readings(exact if approximately and re.search(r"[0-9]", exact) else piece)
    if isinstance(ways, str):
        return False
    return all(item.value[0] != "text" for item in ways[0]) and not re.fullmatch(r"[.\s]*", piece)


def displayed_value(tail: str, sentence: str, last: bool = False) -> str | None:
    """Return what a calculation that ends the text comes to: the last side of an identity or of a chain.

    `last`: no step follows it, be it the display of one.
    """
    display = _LAST_DISPLAY.search(tail[-NEAR_END * 3 :])
    if display is None or not tail.endswith(display[0]):
        return None
    maths = next(group for group in display.groups() if group is not None).strip(" .\n")
    maths, bold = re.subn(r"^\\(?:boldsymbol|mathbf|bm)\s?\{(.*)\}$", r"\1", maths)
    if rows := re.fullmatch(r"\\begin\{(?:aligned|align\*?|gather(?:ed|\*)?)\}(.*)\\end\{\w+\*?\}", maths, re.DOTALL):
        maths = rows[1].strip(" .\n\\").rpartition("\\\\")[2].replace("&", "").strip(" .\n")
        left, _, right = maths.rpartition("=")
        named = NAME.fullmatch(left.strip()) or not left.strip()
        return unwrapped(right) if named and not INEQUALITY.search(maths) and reads_as_maths(unwrapped(right)) else None
    if re.fullmatch(r"-?[0-9]+\s?[a-zA-Z]\s*=[^=]*", maths):
        return None  # 5d = 35
    goes_on = maths.startswith("=") and is_value(value := unwrapped(maths.rpartition("=")[2]))
    if goes_on or ((inverse := _INVERSE.fullmatch(maths)) and reads_as_maths(value := unwrapped(inverse[1]))):
        return value
    before = tail[: -len(display[0])].rstrip().rpartition("\n\n")[2]
    if _IN_FORM.search(before) and maths.count("=") == 1 and reads_as_maths(maths):
        return maths
    lead = re.sub(
        r"(?:^|\n)Then$", "", before[-150:].replace(" formula:", ":").replace(" formula gives", " gives").strip()
    )
    lead = re.sub(
        r"\b(?:we )?us(?:e|ing) the (?:\w+ )?(?:formula|fact|identity|theorem|rule|law)\b[^:.$]*:$",
        ":",
        lead,
        flags=re.I,
    )
    lead = re.sub(r"\$[^$]*\$", "", lead).rpartition(". ")[2]
    lead = re.sub(r"\b(?:precisely|exactly) when$", "", _STEP_LABEL.sub("", lead) if last else lead)
    solved = re.search(
        r"\b(?:Solving|Simplifying|Substituting|Evaluating|Computing|Calculating)\b[^.=]*,$"
        r"|\b(?:Substituting|Plugging|Inserting|Using)\b[^.=]*\b(?:gives|yields|get|have):?$",
        lead,
    )
    found = re.search(r"\bwe (?:find|get|obtain)[\s:]*$", lead) and re.match(
        rf"(?:{NAME.pattern})\s*=\s*(.*)", maths, re.DOTALL
    )
    if found and is_value(value := unwrapped(found[1])):
        return value
    said_of = re.search(
        r"(?:^|\. )(?:(?:so|thus|hence|therefore|(?:combining|putting) [^,.=]{1,40}),? )?"
        r"the (?:solution|answer)(?: set)? (?:is|are)\b",
        lead,
        re.IGNORECASE,
    )
    if not (solved or bold or said_of) and any(pattern.search(lead) for pattern in (AIM, GIVEN, PREMISE)):
        return None
    if "=" not in maths:
        ready = said_of or re.search(
            r":\s*$|\b(?:left with|we (?:get|obtain)(?: the (?:\w+ ){0,2}\w+)?|gives|leaves|simplifies to|becomes"
            r"|(?:precisely|exactly) when)\s*$",
            before,
        )
        return maths if ready and re.search("[0-9]", maths) and reads_as_maths(maths) else None
    if valued_names(maths):
        return unwrapped(maths)  # x = 7 or x = -2
    sides = [unwrapped(side) for side in re.split(r"(?<![<>!])=", maths)]
    led = re.search(r"\b(?:is|are|equals)[\s:]*$", before) is not None and is_value(sides[-1])
    drawn = re.search(r"\b(?:so|thus|hence|therefore)[\s,:]*$", before, re.IGNORECASE) is not None
    if led and EQUATION.search(maths) and "equation" not in before[-150:]:
        return None
    if (
        len(sides) < 2
        or (re.match(r"[a-zA-Z]\^", sides[0]) and not (led or (drawn and compare(sides[0], sides[1]).equal is True)))
        or INEQUALITY.search(maths)
        or not sides[-1]
        or not reads_as_maths(sides[-1])
    ):
        return None

    def known(side: str) -> bool:
        return bool(_OPERATOR.match(side)) or not re.search("[a-zA-Z]", bare_of_commands(side))

    if len(sides) > 2 and known(sides[-1]) and not (known(sides[-2]) or led):
        return None  # an equation to be solved
    if len(sides) == 2 and solved and NAME.fullmatch(sides[0]) and sides[0] not in sides[1]:
        return sides[1]
    if len(sides) == 2 and (led or (before.endswith("\\]") and NAME.fullmatch(sides[0]) and is_value(sides[1]))):
        return sides[1]
    if len(sides) == 2 and not (known(sides[0]) or bold or "bf{" in maths or compare(sides[0], sides[1]).equal is True):
        return None
    return sides[-1]


def is_value(text: str) -> bool:
    """Return whether a text is a value with no letters in it: nothing to be solved or substituted."""
    return (
        re.search(r"[0-9]", text) is not None
        and re.search(r"[a-zA-Z]", bare_of_commands(text)) is None
        and "=" not in text
        and reads_as_maths(text)
    )


def valued_names(piece: str) -> set[str]:
    """Return the names that a list of several values gives them to (`x = 1 or x = 2`); none where one has no name."""
    ways = readings(unwrapped(piece))
    if isinstance(ways, str) or len(ways[0]) < 2:
        return set()
    names = {item.label for item in ways[0]}
    return set() if "" in names else names


def own_text(text: str) -> str:
    """Return the end of a text that a conclusion is looked for in: without emoji, later sections and rulers."""
    tail = _EMOJI.sub("", _LAST_EMOJI.sub(r"\1.", text[-_TAIL:].rstrip())).strip()
    tail = _OFFERED.sub("", tail).rstrip()
    section = next(
        (each for each in SECTION.finditer(tail) if tail[: each.start()].strip("#*_ \n")[-1:] not in "?"), None
    )
    if (said := deque(_SAID.finditer(tail), maxlen=1)) and not CONCLUDES_LATER.search(tail, said[0].end()):
        tail, section = tail[: said[0].end()], None
    if section and not (CONCLUDES_LATER.search(tail, section.end()) or _UNFILLED.search(tail[-120:])):
        tail = _RULER.sub("", tail[: section.start()].rstrip()).rstrip()
        tail = re.sub(r"(?<=[\w)$\]])$", ".", tail)  # finished, as more follows
    return tail.rstrip("#=_ \t\n") if tail.endswith(("\n###", "\n---", "\n##")) else tail.rstrip()


def refuses(tail: str) -> bool:
    """Return whether a text says near its end that it has no answer, and concludes nothing after that."""
    if not re.search(r"[.!)*$\]]$", tail) and tail.count(tail[-_LOOP:]) > 2 and len(tail) > 2 * _LOOP:
        return True  # it goes round in circles until it is cut off
    end = tail[-NEAR_END:]
    if _OPTIONS_ASKED.search(tail[-2 * NEAR_END :]) or _ASKED_LAST.search(end) or _STILL_TO_DO.search(end):
        return True
    said = REFUSED.search(tail, max(0, len(tail) - NEAR_END))
    if said is None or _ASSUMED.search(tail, said.end()) or _BUT_CONCLUDES.search(tail, said.end()):
        return False
    return not (tail.endswith("?") and _CONCLUDED_BEFORE.search(tail[: said.start()]))


def explained_first(tail: str) -> str | None:
    """Return the sentence that a text begins with, where it says next why that is so."""
    said = _EXPLAINED_NEXT.match(tail) or (_ABOVE.search(tail) and _FIRST_SENTENCE.match(tail))
    return said[1] if said else None


def before_remarks(tail: str) -> str:
    """Return a text without the paragraphs, and the line after a display, at its end that begin a check or a remark."""
    for gap in ("\n", "\n\n"):
        while gap in tail and (gap != "\n" or _DISPLAY_LINE.search(tail)):
            before, _, last = tail.rpartition(gap)
            if not any(pattern.match(last) for pattern in (CHECK, BESIDE, LEAVES)):
                break
            tail = before.rstrip()
    return tail


def bold_row(tail: str) -> str | None:
    """Return the last cell of the row that ends a table and a text, where that row alone is in bold."""
    found = _BOLD_ROW.search(tail[-NEAR_END * 3 :])
    return str(found[1]) if found and tail.count("**") == 4 else None


def still_open(tail: str, sentence: str) -> bool:
    """Return whether the last sentence or the one before it says that the answer is still to be found."""
    if _UNDONE.match(sentence):
        return True
    if sentence not in tail or re.match(r"(?:so|thus|hence|therefore)\b|.*, so [^=]*=", sentence, re.IGNORECASE):
        return False
    before = tail[: tail.rfind(sentence)]
    return _OPEN.search(before[-200:]) is not None


def labelled_value(tail: str, sentence: str) -> str | None:
    """Return the value of a closing line "label: value", unless it is one of several such lines or a step."""
    lines = [line for line in tail[-NEAR_END:].splitlines() if line.strip()]
    found = next((index for index in range(len(lines) - 1, -1, -1) if sentence[:40] in lines[index]), None)
    if found is None or (match := _LABELLED.fullmatch(sentence)) is None:
        return None
    if (
        AIM.search(CURVE.sub("", match[1]))
        or PREMISE.search(match[1])
        or GIVEN.search(match[1])
        or NO_RESULT.search(match[1])
    ):
        return None
    other = _LABELLED.match(lines[found - 1].strip(MARKUP + "-•")) if found else None
    several = other is not None and len(other[2]) <= 30
    unequalled = other is not None and "=" in other[2] and "=" not in match[2]
    cut = unequalled and not re.search(r"\*\*:|:\*\*|[.!*]$", sentence)
    return None if (several or cut) and not SUMS_UP.search(match[1]) else match[2].strip(MARKUP)


def bare_of_commands(piece: str) -> str:
    return re.sub(r"\\(?:begin|end)\{\w+\}|\\(?:text|mathrm) ?\{[^{}]*\}|\\[a-zA-Z]+|\b(?:pi|sqrt)\b", " ", piece)


def sentences(line: str) -> list[str]:
    """Return the sentences of a line; those of one parenthesis are one. An item's number is none."""
    found: list[str] = []
    for piece in SENTENCES.split(line):
        if piece and found and _ITEM_NUMBER.fullmatch(found[-1]):
            found[-1] = piece.strip()
        elif piece and found and found[-1].startswith("(") and found[-1].count("(") > found[-1].count(")"):
            found[-1] += f" {piece.strip()}"
        elif piece and re.search(r"\w", piece):
            found.append(piece.strip())
    return found


def ends_in_maths(line: str) -> bool:
    """Return whether a line that ends in maths is whole: an equation, or maths that the words before it lead to."""
    return re.search(r"[^\s$]\$$", line) is not None and line.count("$") % 2 == 0 and _SAYS.search(line) is not None


def breaks_off(tail: str) -> bool:
    """Return whether a text ends within a formula, an enumeration, a clause or a number (`195 + 15 = 2`)."""
    if _CUT.search(tail[-20:]) or _UNFILLED.search(tail[-120:]) or _REASON_ALONE.search(tail[-200:]):
        return True
    if item := re.search(r"\n\W*([0-9]{1,3})([.:)])\Z", tail[-20:]):
        return item[2] != "." or item[1] == "1" or re.search(rf"\n\W*{int(item[1]) - 1}\. ", tail) is not None
    if (cut := _SUM_AT_END.search(tail[-60:])) is None:
        return False
    left, right = Fraction(cut[1]), Fraction(cut[3])
    exact = left + right if cut[2] == "+" else left - right if cut[2] in "-−" else left * right
    whole = f"{float(exact):g}"
    return whole != cut[4] and whole.startswith(cut[4])


def last_sentence(tail: str) -> tuple[str, bool] | None:
    """Return the last sentence that states something, and whether an afterword (a check, an offer) follows it.

    None where the text ends in an open question. A sentence that starts again what stands just before, cut off,
    is left out.
    """
    if breaks_off(tail) or (_OPEN_DISPLAY.search(tail[-NEAR_END:]) and tail.count("$$") % 2):
        return None
    tail = re.sub(r"\s*(?:\\\[|\\\]|\$\$)\s*", " ", _DISPLAY_END.sub("\n", tail[-4_000:])).strip()
    lines = [line for line in tail.splitlines() if re.search(r"\w", line)][-_AFTERWORD_LINES:]
    if lines and NEXT_STEP.fullmatch(lines[-1].strip()):
        return None
    followed = len(lines) > 1 and lines[-2].startswith(lines[-1]) and "?" not in lines[-2]
    if followed:
        lines.pop()
    for line in reversed(lines):
        check = CHECK.match(line) is not None and not re.match(r"\W*note\b", line, re.IGNORECASE)
        for sentence in reversed(sentences(line)):
            asks = sentence.endswith("?")
            aside = re.fullmatch(r"\(.*\)[.*_]*", sentence) and re.search(r"[a-z]{2} [a-z]|[0-9] [-+*×/] ", sentence)
            if asks and not (followed or TO_THE_READER.search(sentence)):
                return None
            remark = (check and not CONCLUSION.match(sentence)) or any(
                pattern.match(sentence) for pattern in (CHECK, WISH, BESIDE)
            )
            if asks or aside or (remark and not SO_SOLVED.search(sentence)):
                followed = True
                continue
            return _BULLET.sub("", sentence), followed
    return None


def claim_of(sentence: str) -> tuple[str, bool]:
    """Return a sentence without "therefore" and the like, and whether it had one."""
    drawn = _HEADING.match(sentence) is not None
    sentence = _HEADING.sub("", sentence)
    if _SUPPOSED.match(sentence):
        end = re.match(r"(?:.*, but |if we\b.*, (so) |if\b.*, then\b.*, (so) )(?=.)", sentence, re.IGNORECASE)
        if end is None:
            return sentence, False
        sentence, drawn = sentence[end.end() :], (end[1] or end[2]) is not None
    claim, ours = _OUR_ANSWER.subn("", NOT_THAT.sub("", AFTERTHOUGHT.sub("", sentence)))
    concluded = drawn or bool(ours)
    if reason := _BECAUSE.match(claim):
        claim, concluded = claim[reason.end() :], True
    concluded = concluded or re.search(r"\b(?:donc|entonces|quindi|somit|folglich)\b", claim) is not None
    concluded = concluded or _AT_THE_END.match(claim) is not None
    concluded = concluded or re.search(r"[0-9][^.0-9]{0,20} overall$", claim) is not None
    claim = _AFTERWARDS.sub("", claim)
    if thought := re.search(r", then,(?= )", claim):
        claim, concluded = claim[: thought.start()] + claim[thought.end() :], True
    if inside := re.search(r"\b(is|are|was|were|we) (?:therefore|thus|hence|then)\b[\s,:]*", claim, re.IGNORECASE):
        claim, concluded = f"{claim[: inside.start()]}{inside[1]} {claim[inside.end() :]}", True
    if inside := _THEREFORE_HOLDS.search(claim):
        claim, concluded = claim[: inside.start()] + claim[inside.end() :], True
    while match := CONCLUSION.match(claim):
        claim, concluded = claim[match.end() :], True
    claim = _IN_RANGE.sub(r"\1", _WHERE_REACHED.sub(r"\1", AFTERTHOUGHT.sub("", claim)))
    if len(claim) < NEAR_END and (named := _IS_THE_ANSWER.fullmatch(claim)):
        return f"the answer is {named[1]}", True
    if sought := _LOOKED_FOR.fullmatch(claim):
        return f"the answer is {sought[1]}", True
    if (because := _BECAUSE_AFTER.search(claim)) and re.search(r"[0-9]", claim[: because.start()]):
        claim = claim[: because.start()]
    clauses = _LEADS.split(claim)
    return clauses[-1], bool(concluded) or len(clauses) > 1
