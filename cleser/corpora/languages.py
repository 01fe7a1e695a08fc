"""Languages by ISO 639-1: what their other codes and English names are."""

from __future__ import annotations

from typing import Final

# A line some languages: the code here, then codes of ISO 639-2 and 639-3 and English names.
_TABLE: Final = """\
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
yo yor yoruba|zh zho chi cmn chinese mandarin|zu zul zulu"""

LANGUAGES: Final = {
    word: entry.split()[0]
    for line in _TABLE.splitlines()
    for entry in line.split("|")
    for word in entry.split()
}
"""Code of ISO 639-1 for each code and name."""
