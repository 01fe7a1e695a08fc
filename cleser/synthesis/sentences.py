"""Sentences that say nothing of emotion, for the synthetic corpus.

Languages share phonemes (p t k m n s f l a i u in all) and have their own: English θ ð æ ɹ, Mandarin
retroflexes, tɕ and tones, German y ø ç x, French nasal vowels and ʁ, Spanish ɾ r β ɣ.
"""

from __future__ import annotations

from typing import Final

SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "The keys are on the shelf by the door.",
        "They will bring both boxes back on Thursday.",
        "The train to the north leaves at half past three.",
        "There is a map of the city on the wall.",
        "She put the other cup next to the kettle.",
        "This path goes through the wood and over the bridge.",
        "My brother works in a shop on the third floor.",
        "We need five apples and some butter for the cake.",
        "The teacher wrote the date on the blackboard.",
        "I think the meeting begins in the small room.",
    ),
    "zh": (
        "钥匙在门旁边的桌子上。",
        "他们星期四会把书还给老师。",
        "火车下午三点从北京出发。",
        "墙上有一张中国地图。",
        "请把这个杯子放在茶壶旁边。",
        "这条路穿过树林，一直到河边。",
        "我哥哥在三楼的商店上班。",
        "做这个菜需要五个鸡蛋和一点盐。",
        "老师把日期写在黑板上。",
        "我想会议是在小房间里开始。",
    ),
    "de": (
        "Die Schlüssel liegen auf dem Tisch neben der Tür.",
        "Am Donnerstag bringen sie beide Bücher zurück.",
        "Der Zug nach München fährt um zwölf Uhr ab.",
        "An der Wand hängt eine Karte von der Stadt.",
        "Sie stellt die zweite Tasse neben die Kanne.",
        "Dieser Weg führt durch den Wald und über die Brücke.",
        "Mein Bruder arbeitet in einem Geschäft im dritten Stock.",
        "Wir brauchen fünf Äpfel und etwas Butter für den Kuchen.",
        "Der Lehrer schreibt das Datum an die Tafel.",
        "Ich glaube, das Treffen beginnt im größeren Zimmer.",
    ),
    "fr": (
        "Les clés sont sur la table, près de la porte.",
        "Ils vont rendre les deux livres jeudi matin.",
        "Le train pour Lyon part à onze heures vingt.",
        "Il y a un plan de la ville sur le mur.",
        "Elle pose une autre tasse à côté du pain.",
        "Ce chemin traverse le bois et passe sous le pont.",
        "Mon frère travaille dans un magasin au deuxième étage.",
        "Il nous faut cinq pommes et un peu de beurre.",
        "Le professeur écrit la date au tableau.",
        "Je crois que la réunion commence dans le petit bureau.",
    ),
    "es": (
        "Las llaves están en la mesa, cerca de la puerta.",
        "El jueves van a devolver los dos libros.",
        "El tren de Zaragoza sale a las once y media.",
        "Hay un mapa de la ciudad en la pared.",
        "Ella pone otra taza al lado de la jarra.",
        "Este camino cruza el bosque y pasa por el puente.",
        "Mi hermano trabaja en una tienda del tercer piso.",
        "Nos faltan cinco manzanas y un poco de leche.",
        "El profesor escribe la fecha en la pizarra.",
        "Creo que la reunión empieza en la sala pequeña.",
    ),
}
