//! Texts to count: composed ones of many languages and kinds, and an endless supply of nasty ones.

/// The same numbers everywhere, from a seed.
pub(crate) struct Noise(u64);

impl Noise {
    /// Numbers that depend on `seed` only.
    pub(crate) fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// One passage for each language or kind. Composed for this purpose.
pub(crate) const PASSAGES: [&str; 30] = [
    "The daemon keeps one durable ledger; it's what you'd expect, isn't it? They've said so, and we'll see. ",
    "Die Straßenverkehrsbehörde überprüfte gestern den Größenunterschied der Donaudampfschifffahrtsgesellschaft. ",
    "L'été dernier, j'ai vu qu'aujourd'hui n'était pas si différent — « peut-être », dit-elle. ",
    "El año pasado, ¿quién habría pensado que la señora Muñoz volvería? ¡Nadie! ",
    "Вчера вечером мы с Алёшей читали длинную книгу о кораблях и ветре. ",
    "昨日は雨が降っていたので、図書館でプログラミングの本を読みました。カタカナも！ ",
    "今天天气很好，我们一起去公园散步吧。费用是人民币１２３．４５元，不贵。",
    "오늘 아침에는 커피를 마시면서 새로운 프로그램을 설계했습니다. 정말요? ",
    "في الصباح قرأتُ كتابًا عن البحر والسفن، ثم شربتُ القهوة مع أصدقائي. ",
    "आज सुबह मैंने चाय पीते हुए एक नई किताब पढ़ी और मित्रों से बात की। ",
    "เมื่อวานนี้ฉันอ่านหนังสือเกี่ยวกับเรือและทะเลที่ห้องสมุด ",
    "Χθες το βράδυ διαβάσαμε ένα βιβλίο για τα πλοία και τον άνεμο. ",
    "אתמול בערב קראנו ספר ארוך על ספינות ורוח, ואז שתינו קפה. ",
    "Sáng nay tôi đọc một cuốn sách mới về biển cả và những con tàu. ",
    "Dün akşam İstanbul'da ılık bir rüzgâr esiyordu; çocuklar güldü. ",
    "Wczoraj wieczorem źdźbło trawy zadrżało na wietrze, a żółw zasnął. ",
    "გუშინ საღამოს ვკითხულობდით წიგნს გემებზე. Երեկ երեկոյան կարդացինք: ",
    "நேற்று மாலை நாங்கள் ஒரு புத்தகம் படித்தோம். గత రాత్రి మేము చదివాము. ",
    "pub fn count(&self, text: &[u8]) -> Result<Count, TooLarge> {\n    self.inner.get(text.len())?;\n}\n",
    "def total(rows):\n\treturn sum(r['cost'] for r in rows if r.get(\"kind\") != None)  # don't round\n\n",
    "export const getUserByID = async (id: string): Promise<User | null> => db.users.find(u => u.id === id);\r\n",
    "{\"type\":\"assistant\",\"usage\":{\"input_tokens\":1523,\"output_tokens\":87},\"id\":\"msg_01AbCdEfGh\",\"ok\":true}\n",
    "  - name: build\n    run: |\n      cargo test --workspace\n    env: { RUST_BACKTRACE: \"1\" }\n",
    "<div class=\"row\"><p>Caf&eacute; &amp; bar</p><!-- end --></div>\n",
    "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,7 +1,9 @@\n-use std::fmt;\n+use std::{fmt, io};\n",
    "2026-11-20T11:16:37.123456Z INFO 7f3a9c2e-41b0-4d55-9f0e-0c1d2e3f4a5b took=1234567ns code=0x7fffdeadbeef\n",
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHw==",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 e\u{301}\u{327} Z͑ͫ̓a͋͛l̀g̓o ﷽ ﬁ ǅ ʰ ſ K Å Ⅷ ² ½ \u{200b}\u{feff}\u{202e}",
    "| Spalte | Wert |\n|:-------|-----:|\n| `a_b`  | 1,234.50 € |\n\n## SCREAMING_SNAKE_CASE & kebab-case\n\n* * *\n",
    "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.uid=u.id WHERE u.name LIKE '%O''Neil%';\n",
];

/// Single characters and short stretches at which the patterns turn.
const TURNS: [&str; 60] = [
    " ", "  ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\u{a0}", "\u{3000}", "\u{85}", "\u{2028}",
    "\u{200b}", "'s", "'S", "'ſ", "'t", "'re", "'RE", "'vE", "'ll", "'lL", "'l", "'r", "'m", "'D", "'", "''",
    "’s", "/", "//", "/\n", "!\n", "!", "...", "-", "_", "\"", "\u{301}", "\u{345}", "\u{93e}", "ʰ", "ǅ",
    "字", "あ", "ة", "ß", "ẞ", "İ", "ſ", "K", "A", "AB", "Ab", "a", "1", "12345", "²", "Ⅷ", "٣",
];

const SPECIAL: [&str; 5] = [
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|fim_prefix|>",
    "<|start|>",
    "<|im_end|>",
];

/// Ranges of characters worth mixing: scripts, marks, symbols, blanks, private and unassigned ones.
const RANGES: [(u32, u32); 32] = [
    (0x00, 0x7f),
    (0x20, 0x7e),
    (0x61, 0x7a),
    (0x41, 0x5a),
    (0x30, 0x39),
    (0x80, 0xff),
    (0x100, 0x24f),
    (0x250, 0x2ff),
    (0x300, 0x36f),
    (0x370, 0x3ff),
    (0x400, 0x52f),
    (0x530, 0x5ff),
    (0x600, 0x6ff),
    (0x900, 0x97f),
    (0xe00, 0xe7f),
    (0x10a0, 0x10ff),
    (0x1100, 0x11ff),
    (0x1680, 0x169f),
    (0x1c80, 0x1cff),
    (0x1e00, 0x1fff),
    (0x2000, 0x206f),
    (0x2070, 0x218f),
    (0x2c00, 0x2dff),
    (0x3000, 0x30ff),
    (0x4e00, 0x9fff),
    (0xa640, 0xa7ff),
    (0xac00, 0xd7a3),
    (0xe000, 0xe0ff),
    (0xfe00, 0xffff),
    (0x1_0400, 0x1_04ff),
    (0x1_d400, 0x1_f9ff),
    (0, 0x10_ffff),
];

fn char_of(noise: &mut Noise, (low, high): (u32, u32)) -> char {
    let point = low + noise.below((high - low + 1) as usize) as u32;
    char::from_u32(point).unwrap_or('\u{fffd}')
}

fn part(noise: &mut Noise, into: &mut String) {
    match noise.below(8) {
        0 | 1 => into.push_str(noise.pick::<&str>(&TURNS)),
        2 => {
            // A stretch of a passage, cut anywhere.
            let chars: Vec<char> = noise.pick(&PASSAGES).chars().collect();
            let from = noise.below(chars.len());
            let len = 1 + noise.below(24);
            into.extend(&chars[from..chars.len().min(from + len)]);
        }
        3 => {
            let range = *noise.pick(&RANGES);
            for _ in 0..1 + noise.below(9) {
                into.push(char_of(noise, range));
            }
        }
        4 => {
            let range = *noise.pick(&RANGES);
            into.push(char_of(noise, range));
        }
        5 => {
            // Letters of both sizes.
            for _ in 0..1 + noise.below(12) {
                let range = if noise.below(3) == 0 {
                    (0x41, 0x5a)
                } else {
                    (0x61, 0x7a)
                };
                into.push(char_of(noise, range));
            }
        }
        6 => {
            let unit = *noise.pick(&TURNS);
            for _ in 0..1 + noise.below(9) {
                into.push_str(unit);
            }
        }
        _ if noise.below(20) == 0 => into.push_str(noise.pick::<&str>(&SPECIAL)),
        _ => into.push(char_of(noise, (0x20, 0x7e))),
    }
}

/// A short text of up to a few hundred bytes in which everything that matters can happen; one in some hundreds is
/// longer and has stretches without a break.
pub(crate) fn nasty(noise: &mut Noise) -> String {
    let mut text = String::new();
    for _ in 0..1 + noise.below(9) {
        part(noise, &mut text);
    }
    if noise.below(400) == 0 {
        let mut unit = String::new();
        for _ in 0..1 + noise.below(3) {
            part(noise, &mut unit);
        }
        for _ in 0..noise.below(300) {
            text.push_str(&unit);
            if noise.below(40) == 0 {
                part(noise, &mut text);
            }
        }
    }
    if noise.below(4_000) == 0 {
        // One piece of thousands of letters that are no word.
        let range = *noise.pick(&[
            (0x61, 0x7a),
            (0x41, 0x5a),
            (0x2d, 0x2f),
            (0x4e00, 0x5200),
            (0x9, 0xd),
            (0x3041, 0x3096),
        ]);
        for _ in 0..2_000 + noise.below(6_000) {
            text.push(char_of(noise, range));
        }
    }
    text
}
