"""Languages by ISO 639-1: what their other codes and English names are, and what is no code of a language."""

from __future__ import annotations

import re
from typing import Final

# A line some languages: the code here, then codes of ISO 639-2 and 639-3 and English names. All of ISO 639-1 are there
# but ``kr``, Kanuri, which most people write for Korean: Kanuri is ``kau`` here.
_TABLE: Final = """\
aa aar afar|ab abk abkhazian|ae ave avestan|ak aka akan|an arg aragonese|av ava avaric|ay aym aymara|ba bak bashkir
bi bis bislama|bm bam bambara|ce che chechen|ch cha chamorro|co cos corsican|cr cre cree|cu chu|cv chv chuvash
dv div dhivehi|dz dzo dzongkha|ee ewe|ff ful fulah|fj fij fijian|fy fry frisian|gn grn guarani|gv glv manx|ho hmo
ht hat haitian|hz her herero|ia ina interlingua|ie ile|ii iii|ik ipk|io ido|iu iku inuktitut|kg kon kongo|ki kik kikuyu
kj kua|kl kal greenlandic|ks kas kashmiri|kv kom komi|kw cor cornish|lg lug luganda|li lim limburgish|ln lin lingala
lu lub|mh mah marshallese|na nau nauru|nd nde|ng ndo ndonga|nr nbl|nv nav navajo|ny nya chichewa|oj oji ojibwa
os oss ossetian|pi pli pali|rm roh romansh|rn run rundi|sa san sanskrit|sc srd sardinian|se sme|sg sag sango
sm smo samoan|ss ssw swati|to ton tongan|ts tso tsonga|tw twi|ty tah tahitian|ve ven venda|vo vol|wa wln walloon|za zha
af afr afrikaans|am amh amharic|ar ara arb arabic|as asm assamese|az aze azerbaijani|be bel belarusian
bg bul bulgarian|bn ben bengali bangla|bo bod tib tibetan|br bre breton|bs bos bosnian|ca cat catalan
cs ces cze czech|cy cym wel welsh|da dan danish|de deu ger german|el ell gre greek|en eng english
eo epo esperanto|es spa spanish castilian|et est ekk estonian|eu eus baq basque|fa fas per pes persian farsi
fi fin finnish|fo fao faroese|fr fra fre french|ga gle irish|gd gla|gl glg galician|gu guj gujarati|ha hau hausa
he heb hebrew|hi hin hindi|hr hrv croatian|hu hun hungarian|hy hye arm armenian|id ind indonesian|ig ibo igbo
is isl ice icelandic|it ita italian|ja jpn japanese|jv jav javanese|ka kat geo georgian|kk kaz kazakh
km khm khmer|kn kan kannada|ko kor korean|ku kur kurdish|ky kir kyrgyz|la lat latin|lb ltz luxembourgish|lo lao
lt lit lithuanian|lv lav lvs latvian|mg mlg malagasy|mi mri mao maori|mk mkd mac macedonian|ml mal malayalam
mn mon mongolian|mr mar marathi|ms msa may zsm malay|mt mlt maltese|my mya bur burmese|ne nep nepali
nl nld dut dutch|nn nno nynorsk|nb nob bokmal|no nor norwegian|oc oci occitan|om orm oromo|or ori ory odia
pa pan punjabi panjabi|pl pol polish|ps pus pashto|pt por portuguese|qu que quechua|ro ron rum romanian
ru rus russian|rw kin kinyarwanda|sd snd sindhi|si sin sinhala sinhalese|sk slk slo slovak
sl slv slovenian slovene|sn sna shona|so som somali|sq sqi alb albanian|sr srp serbian|st sot sesotho
su sun sundanese|sv swe swedish|sw swa swahili kiswahili|ta tam tamil|te tel telugu|tg tgk tajik|th tha thai
ti tir tigrinya|tk tuk turkmen|tl tgl tagalog filipino|tn tsn tswana|tr tur turkish|tt tat tatar|ug uig uyghur
uk ukr ukrainian|ur urd urdu|uz uzb uzbek|vi vie vietnamese|wo wol wolof|xh xho xhosa|yi yid yiddish
yo yor yoruba|yue cantonese|zh zho chi cmn chinese mandarin|zu zul zulu"""

LANGUAGES: Final = {
    word: entry.split()[0]
    for line in _TABLE.splitlines()
    for entry in line.split("|")
    for word in entry.split()
}
"""Code of ISO 639-1 for each code and name."""

# Chinese languages that ISO 639-1 has no code for, which tags write as ``zh-yue`` or ``yue``; but ``nan``, Min Nan,
# which tables write for nothing: ``zh-nan`` is ``zh``.
_CHINESE: Final = frozenset({"yue", "hak", "wuu", "gan", "hsn", "cdo", "cjy", "mnp"})
# Codes of countries, old codes and abbreviations that people write for languages. Those of three letters are of larger
# countries; some are languages of few as well (``usa``, Usarufa), whom a table of speech hardly means.
_MISTAKEN: Final = {
    "cn": "zh", "jp": "ja", "gr": "el", "cz": "cs", "kr": "ko", "sp": "es", "dk": "da", "vn": "vi", "ua": "uk",
    "ir": "fa", "in": "id", "iw": "he", "il": "he", "ji": "yi", "jw": "jv", "mo": "ro", "us": "en", "gb": "en",
    "mx": "es", "pk": "ur", "bd": "bn", "al": "sq", "ge": "ka", "chn": "zh", "jap": "ja", "esp": "es", "prt": "pt",
    "sh": "sr", "bh": "bho", "usa": "en", "gbr": "en", "can": "en", "aus": "en", "nzl": "en", "irl": "en", "bra": "pt",
    "mex": "es", "col": "es", "chl": "es", "cub": "es", "egy": "ar", "sau": "ar", "irq": "ar", "dza": "ar", "irn": "fa",
    "pak": "ur", "bgd": "bn", "twn": "zh", "hkg": "yue", "vnm": "vi", "phl": "tl", "mys": "ms", "npl": "ne",
    "isr": "he", "dnk": "da", "aut": "de", "rou": "ro", "bgr": "bg", "svk": "sk", "svn": "sl", "srb": "sr", "ltu": "lt",
    "lva": "lv",
}  # fmt: skip
# What stands for no language: several, none, one without a code, nobody knows.
_NO_LANGUAGE: Final = frozenset({"mul", "zxx", "mis", "und", "nan", "unk", "xxx"})


def code_of(name: str) -> str | None:
    """The code that a language has here, for a code, an English name or a tag as BCP 47 has it; None if unknown.

    That is the one of ISO 639-1, or of ISO 639-3 where there is none: Cantonese is ``yue``.

    >>> [code_of(name) for name in ("English", "cmn-Hans-CN", "de_DE", "zh-yue", "Cantonese", "cn", "Klingon")]
    ['en', 'zh', 'de', 'yue', 'yue', None, None]
    """
    first, *further = re.split(r"[-_]", name.strip().lower())
    known = LANGUAGES.get(name.strip().lower()) or LANGUAGES.get(first)
    if known == "zh" and further and further[0] in _CHINESE:
        return further[0]
    return known or (first if _is_three_letter_code(first) else None)


def is_code(name: str) -> bool:
    """Whether a manifest may have this for a language.

    >>> is_code("zh"), is_code("yue"), is_code("zho"), is_code("cn")
    (True, True, False, False)
    """
    return LANGUAGES.get(name) == name or (name not in LANGUAGES and _is_three_letter_code(name))


def checked_language(name: str, where: str) -> str:
    """The code of a language that somebody has named.

    Raises:
        ValueError: It is none that a manifest may have; ``where`` says where it was found.

    >>> checked_language("German", "--language")
    'de'
    """
    code = code_of(name)
    if code is None:
        raise ValueError(
            f"{where} is {name!r}, expected an ISO 639-1 code, as de or en{meant(name)}"
        )
    return code


def _is_three_letter_code(name: str) -> bool:
    known = re.fullmatch("[a-z]{3}", name) and name not in _NO_LANGUAGE and name not in _MISTAKEN
    return bool(known)


def meant(name: str) -> str:
    """The end of a message about what is no code of a language: what may be meant, or nothing.

    >>> meant("cn"), meant("Klingon")
    ('; did you mean zh?', '')
    """
    other = _MISTAKEN.get(re.split(r"[-_]", name.strip().lower())[0])
    return f"; did you mean {other}?" if other else ""
