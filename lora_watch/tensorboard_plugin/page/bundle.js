/* Made by tests/front_end/check.py --fix of sources e7463fa4c25b12d61d1165cb1ebe0dfe15b8a57365f2dd0049e3f8a4404725d8 */
var De=Object.defineProperty;var st=(t,e)=>{for(var s in e)De(t,s,{get:e[s],enumerable:!0})};var Xt={zone:"the rules’ word for the run at a step, from a loss below its start to exploding: it follows from the open \
alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives",
"depth-scaled output ratio":"the 90th percentile of output_ratio over adapters × depth",delta_norm:"‖ΔW‖: Frobenius nor\
m of the adapter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·Σlr\
·√(d_out·r/3): what Adam reaches from the default start if every step agrees",spectral_norm:"σ₁(ΔW): the largest sin\
gular value of the adapter update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base \
weight",relative_spectral_norm:"σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",
effective_rank:"exp of the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖Δ\
W‖² / σ₁²: a lower, steadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"\
‖B‖: Frobenius norm of the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"\
‖∂B‖ as it reaches the optimizer, after clipping",a_changed:"share of 64 numbers of A that the last update changed\
; below 1 where rounding loses updates",b_changed:"share of 64 numbers of B that the last update changed; below 1 where \
rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base weight: 0, since it is frozen",scale:"s: t\
he live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × learning rate of the parameter group th\
at holds B",lr:"learning rate of the first parameter group",loss:"mean training loss of the whole optimizer step, NaN ke\
pt",reward:"mean reward of the completions; of preferences (DPO) the margin between chosen and rejected answers",expected:"\
the loss that the run’s own course predicts for the step",overhead:"share of the wall time that the monitor took after\
 the first 20 steps, which are all measured in full",adapters:"LoRA modules that are monitored",step:"optimizer steps do\
ne",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖W₀‖: Frobenius norm of t\
he frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base weight",group:"index o\
f the optimizer’s parameter group",max:"the largest of any adapter",p90:"90th percentile over adapters",median:"median\
 over adapters",verdict:"the alert that the rules put first, else their word for the run",end:"the run’s own word for it\
s end",steps:"optimizer steps done, of those planned","loss, mean of five":"mean of the last five losses, and how far it\
 is below its start","reward, mean of five":"mean of the last five rewards that were logged; gain: how far it is above t\
he first ones",alerts:"episodes by severity: one cause makes one alert, which opens, lasts and closes",Severity:"ERROR: \
the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as in lora-watch rules and in mu\
te=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst first, and how many more","St\
and out":"the adapters that are farthest from the median of all at the step, and by which factor; broken ones first",Kind:"\
kind of the adapted layer","W₀":"the frozen base weight, rows × columns","B · A":"the factors of the adapter update,\
 rows × columns",Trainable:"trainable numbers of the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"\
σ₁(ΔW) / σ₁(W₀), largest singular values",A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"\
the run step by step: gain of the loss against depth-scaled output ratio, in the colours of its zones"},te=t=>Object.hasOwn(
Xt,t)?Xt[t]:void 0,He=[[/^output_ratio$/,"ratio of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],
[/_norm$/,"Frobenius norm"],[/_rank$/,"directions"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,
"per step"],[/^loss/,"loss"],[/^reward/,"reward"],[/^scale$/,"s"]],ee=t=>He.find(([e])=>e.test(t))?.[1];var Ge="http://www.w3.org/2000/svg";function ne(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var x=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>ne(document.
createElement(t),e,s),g=(t,e,...s)=>ne(document.createElementNS(Ge,t),e,s),pt=(t,e,s,n,r={})=>g("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),gt=(t,e,s)=>g("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function v(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var re=t=>v(t,1e-4);function J(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var nt=t=>t.charAt(0).toUpperCase()+t.slice(1),Ke={lr:"learning rate",b:"B",non:"non-"},T=t=>{let e=t.split(
/[-_]/).map(s=>Ke[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:nt(e)},I={bubble(){let t=document.
getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.body.append(t),t},show(t,...e){
let s=this.bubble();s.replaceChildren(...e.flat().filter(a=>a!=null&&a!==!1).map(a=>a instanceof Node?a:c("div",null,a))),
s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.left=`${Math.max(4,o?t.clientX+
14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}px`},under(t,...e){let{left:s,bottom:n}=t.
getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.bubble().style.display="none"}},oe=t=>({
tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.preventDefault(),e.stopPropagation(),t(
e))}}),ie=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("span",null,e),c("b",null,s)),U=["ERROR",
"WARNING","INFO"],se={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 \
0Z"},Ot=t=>se[t]??se.INFO,R=(t,e=14)=>g("svg",{class:`severity ${E(t)}`,viewBox:"-7 -7 14 14",width:e,height:e,"aria-hid\
den":"true"},g("path",{d:Ot(t)})),V=(t,e)=>t[e.toLowerCase()]??0,E=t=>U.includes(t)?t.toLowerCase():"info";function S(t,e=t){
let s=te(e);return s?rt(t,s):t}function rt(t,e,s={}){let n=({currentTarget:o})=>{I.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{I.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}var L=(t,e,...s)=>c("section",{class:"c\
ard"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"note"},e)),s),ot=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(
s=>c("li",null,s))),Ve=700;function B(t,e,s=16,n=Ve){if(t<n)return{widths:e.map(()=>t),style:"grid-template-columns:minm\
ax(0,1fr)"};let r=e.reduce((l,i)=>l+i,0),o=t-s*(e.length-1),a=e.map(l=>Math.floor(o*l/r));return{widths:a,style:`grid-te\
mplate-columns:${a.map(l=>`${l}px`).join(" ")}`}}function wt(t,e,{hover:s,leave:n,zoom:r,choose:o}){let a=null,l=d=>d.clientX-
t.getBoundingClientRect().left,i=()=>{a=null,e.style.display="none"};t.addEventListener("pointerdown",d=>{a=l(d)}),t.addEventListener(
"pointermove",d=>{let h=l(d);a!=null&&Math.abs(h-a)>4&&(t.hasPointerCapture(d.pointerId)||t.setPointerCapture(d.pointerId),
e.setAttribute("x",Math.min(h,a)),e.setAttribute("width",Math.abs(h-a)),e.style.display="block"),s(d,h)}),t.addEventListener(
"pointerleave",()=>{n(),I.hide()}),t.addEventListener("pointercancel",i),t.addEventListener("click",d=>{let[h,u]=[a??l(d),
l(d)];i(),Math.abs(u-h)>4?r(Math.min(h,u),Math.max(h,u)):o(d,u)})}var Tt={};st(Tt,{draw:()=>_s,endOf:()=>j,formulaOf:()=>kt,peakOf:()=>be,rateOf:()=>xe,recoveryIn:()=>_t,severityOf:()=>Ct,
title:()=>vs,verdict:()=>$t});var it=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),Q=class t{constructor(e,s,n,r){let[o,
a]=e.shape;this.columns=o,this.n=a,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.bytes=(s===n?5:
9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().decode(
new Uint8Array(e,4,s))),[r,o]=n.shape,a=r*o,l=new Uint8Array(e,4+s),i=(u,p)=>{let w=new Uint8Array(p*a);for(let m=0;m<p;m++)
for(let b=0;b<o;b++)for(let f=0;f<r;f++)w[p*(f*o+b)+m]=l[u++];return w},d=new Float32Array(i(0,4).buffer),h=n.pooled?new Float32Array(
i(4*a,4).buffer):d;return new t(n,d,h,i((n.pooled?8:4)*a,1))}window({from:e=-1/0,to:s=1/0,adapter:n}){let r=Array.from(this.
first.keys()).filter(h=>this.last[h]>=e&&this.first[h]<=s),o=n==null?Array.from({length:this.n},(h,u)=>u):[n],a=r.flatMap(
h=>o.map(u=>h*this.n+u)),l=h=>h.constructor.from(a,u=>h[u]),i=l(this.low),d={...this,shape:[r.length,o.length],first:r.map(
h=>this.first[h]),last:r.map(h=>this.last[h]),rows:r.length===this.columns?this.rows:r.length*this.width};return new t(d,
i,this.pooled?l(this.high):i,l(this.flags))}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+1>>1;this.first[r]<=
e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.n+s;return this.
flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.last[this.columns-
1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.first[e]-s)/(n*this.
width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.max(0,Math.min(.999999,
e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],a=this.high[r],l=this.flags[r];return[Number.isFinite(a)?o===
a?n(a):`${n(o)} … ${n(a)}`:"",l&&it(l)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],n=this.last[e];return s===
n?`step ${s}`:`steps ${s}–${n}`}};function q(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(l=>l*
r).find(l=>l>=n*.999)??10*r,a=[];for(let l=Math.ceil(t/o)*o;l<=e+o*1e-9;l+=o)a.push(Number(l.toPrecision(12)));return a}
function at(t,e,s=6){let n=o=>{let a=[];for(let l=Math.floor(t);l<=Math.ceil(e);l++)for(let i of o)Math.log10(i)+l>=t-1e-9&&
Math.log10(i)+l<=e+1e-9&&a.push(+`${i}e${l}`);return a},r=n([1]);return r.length>=3?r.filter((o,a)=>a%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:q(10**t,10**e,s/2))}var It=(t,{left:e,right:s},n,r=re)=>t.
flatMap(o=>[g("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),g("text",{x:e-6,y:n(o)+x(4),"text-anchor":"end"},r(o))]),
Y=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function yt(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,a=t.filter(qe),l=t.map(f=>f.name).join(", "),i=pt("chart",s,n,l,o.length?{role:"\
group"}:{});if(!a.length)return i.append(gt(s/2,n/2,e.empty??"not logged in this run")),i;let d=Ze(a,e),{X:h,x0:u,x1:p,top:w,
foot:m}=d;i.append(...Xe(d,e),...ts(d,e.thresholds??[]));let b=[];for(let f of a)i.append(...is(f,d,b));return i.append(
...ss(d,e.discarded??[])),r!=null&&r>=u&&r<=p&&i.append(g("line",{x1:h(r),x2:h(r),y1:w,y2:m,class:"cursor"})),i.append(...ns(
d,o,e.onAlert),...(e.marks??[]).flatMap(f=>es(d,f))),rs(i,a,d,e),i}var qe=({matrix:t,column:e=0,dash:s})=>t&&Array.from(
t.first).some((n,r)=>Number.isFinite(t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function Ze(t,e){let{width:s,height:n,alerts:r=[]}=e,
o=x(58),a=s-x(12),l=r.length?20:10,i=n-x(22),[d,h]=e.range,u=({matrix:_,column:A=0})=>Array.from({length:_.columns},(N,$)=>_.
high[$*_.n+A]).some(N=>N>0&&N<1/0),p=e.log&&t.some(u),w=p?_=>_>0?Math.log10(_):NaN:_=>_,[m,b]=Ye(Qe(Je(t,w,d,h),e.thresholds,
w,p),e.zero,p);return{left:o,right:a,top:l,foot:i,x0:d,x1:h,log:p,to:w,low:m,high:b,X:_=>o+(h===d?(a-o)/2:(_-d)/(h-d)*(a-
o)),Y:_=>i-(Math.max(m,Math.min(b,_))-m)/(b-m)*(i-l)}}function Je(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:a,column:l=0}of t)
for(let i=0;i<a.columns;i++){if(a.last[i]<s||a.first[i]>n)continue;let d=e(a.low[i*a.n+l]),h=e(a.high[i*a.n+l]);d<r&&d>-1/0&&
(r=d),h>o&&h<1/0&&(o=h),h<r&&h>-1/0&&(r=h)}return[r,o]}function Qe([t,e],s=[],n,r){for(let{value:o}of s){let a=n(o);r&&a>
e&&a-e<1&&(e=a+.05),r&&a<t&&t-a<1&&(t=a-.05)}return[t,e]}function Ye([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(
0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-
t)*.06;return[s&&t===0?t:t-r,e+r]}function Xe({left:t,right:e,top:s,foot:n,x0:r,x1:o,log:a,to:l,low:i,high:d,X:h,Y:u},p){
let{height:w,term:m,axis:b="step"}=p,f=n-s,y=a?at(i,d,Math.max(2,f/x(18))):q(i,d,Math.max(2,f/x(32))),_=()=>q(r,o,(e-t)/
x(62)).filter(Number.isInteger),A=p.ticks??_().map(k=>[k,k]),N=[ee(m??""),a&&"log"].filter(Boolean).join(", "),$=`transl\
ate(${x(10)},${s+f/2})rotate(-90)`;return[...It(y,{left:t,right:e},k=>u(l(k))),...A.map(([k,M])=>g("text",{x:h(k),y:w-5,
"text-anchor":"middle"},M)),g("text",{class:"axis-name",x:t-8,y:w-5,"text-anchor":"end"},b),g("text",{class:"axis-name",
"text-anchor":"middle",transform:$},N)]}var ts=({left:t,right:e,to:s,low:n,high:r,Y:o},a)=>a.map(({value:l,name:i})=>({v:s(
l),name:i})).filter(({v:l})=>l>=n&&l<=r).flatMap(({v:l,name:i})=>[g("line",{x1:t,x2:e,y1:o(l),y2:o(l),class:"threshold"}),
g("text",{x:e-2,y:o(l)-3,"text-anchor":"end",class:"threshold"},i)]),es=({top:t,foot:e,X:s},{at:n,name:r,kind:o})=>[g("l\
ine",{class:"found",x1:s(n),x2:s(n),y1:t,y2:e,style:`stroke:var(--${o})`}),g("text",{class:"found",x:s(n)-4,y:t+x(10),"t\
ext-anchor":"end",style:`fill:var(--${o})`},r)],ss=({top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([a,l])=>({first:a,last:l,from:Math.
max(s,a-.5),until:Math.min(n,l+.5)})).filter(({from:a,until:l})=>l>a).map(({first:a,last:l,from:i,until:d})=>{let h=a<l?
`steps ${a} to ${l} were discarded`:`step ${l} was discarded`,u={x:r(i),y:t,width:r(d)-r(i),height:e-t},p=`M${r(d)} ${t+
6}H${r(i)}m5 -4l-5 4l5 4`;return g("g",{class:"discarded"},g("title",null,h),g("rect",u),g("path",{d:p}))});function ns({
top:t,foot:e,x0:s,x1:n,X:r},o,a){let l=o.filter(i=>i.step>=s&&i.step<=n);return l.flatMap((i,d)=>{let h=l.slice(0,d).filter(
({step:m})=>m===i.step).length,u=Math.min(n,i.closed_step==null?n:i.last_step),p=E(i.severity),w={x:r(i.step),y:7.5,width:r(
u)-r(i.step),height:3,class:`held severity ${p}`};return[...u>i.step?[g("rect",w)]:[],Et(i,r(i.step)+13*h,h?0:e-t+11,()=>a?.(
i))]})}var Et=(t,e,s,n)=>g("g",{class:`mark severity ${E(t.severity)}`,"aria-label":`${t.severity} ${t.name} at step ${t.
step}`,transform:`translate(${e},9)`,...oe(r=>{r.stopPropagation(),n()}),onpointermove:r=>{r.stopPropagation();let o=c("\
b",null,`${t.severity} ${t.rule} ${t.name}`);I.show(r,o,`step ${t.step}`,t.message)},onpointerleave:()=>I.hide()},s>0&&g(
"path",{d:`M0 6V${s}`,class:"stem"}),g("path",{d:Ot(t.severity)}));function rs(t,e,{left:s,right:n,top:r,foot:o,x0:a,x1:l,
X:i},d){let{axis:h="step",say:u=String,onStep:p,onZoom:w}=d,m=g("line",{y1:r,y2:o,class:"hover"}),b=g("rect",{y:r,height:o-
r,class:"select"});t.append(m,b);let f=y=>Math.round(a+Math.max(0,Math.min(1,(y-s)/(n-s)))*(l-a));wt(t,b,{hover:(y,_)=>{
let A=f(_);m.setAttribute("x1",i(A)),m.setAttribute("x2",i(A)),m.style.display="block",I.show(y,`${h} ${u(A)}`,os(e,A))},
leave:()=>{m.style.display="none"},zoom:(y,_)=>f(y)<f(_)&&w?.(f(y),f(_)),choose:(y,_)=>p?.(f(_))})}var os=(t,e)=>t.map(({
matrix:s,column:n=0,colour:r,name:o})=>s.first[0]>e?null:ie(r,o,s.say(s.columnOf(e),n,v)));function is(t,{X:e,Y:s,to:n,x0:r,
x1:o,top:a,foot:l},i){let{matrix:d,column:h=0,colour:u,dash:p,thin:w}=t,m=[],b="",f=!1,y="",_="",A=[],N=[],$=[],k=()=>{A.
length>1&&$.push(`M${A.join("L")}L${N.reverse().join("L")}Z`),A.length=N.length=0};for(let M=0;M<d.columns;M++){let O=(d.
first[M]+d.last[M])/2;if(d.last[M]<r||d.first[M]>o)continue;let W=M*d.n+h,z=e(O).toFixed(1);!p&&d.flags[W]&3&&(m.at(-1)?.
column===M-1?Object.assign(m.at(-1),{column:M,to:e(O)}):m.push({column:M,from:e(O),to:e(O),kind:d.flags[W]&1?"NaN":"Inf"}));
let G=n(d.low[W]),K=n(d.high[W]);if(!Number.isFinite(K)){f=!1,_+=y,y="",k();continue}let et=Number.isFinite(G)?s((G+K)/2):
s(K);b+=`${f?"L":"M"}${z} ${et.toFixed(1)}`,f?y="":y=`M${z} ${et.toFixed(1)}h.01`,f=!0,d.pooled&&(A.push(`${z} ${s(K).toFixed(
1)}`),N.push(`${z} ${(Number.isFinite(G)?s(G):l).toFixed(1)}`))}return k(),[$.length&&g("path",{d:$.join(""),class:"band",
style:`fill:${u};stroke:${u}`}),g("path",{d:b,class:w?"line thin":"line","stroke-dasharray":p,style:`stroke:${u}`}),_+y&&
g("path",{d:_+y,class:"lone",style:`stroke:${u}`}),...m.filter(({from:M,to:O})=>!i.some(W=>W.from<=M&&O<=W.to)&&i.push({
from:M,to:O})).map(({from:M,to:O,kind:W})=>g("g",{class:"broken"},g("rect",{x:M-1.5,width:O-M+3,y:a,height:l-a}),g("rect",
{class:"foot",x:M-1.5,width:O-M+3,y:l-6,height:6}),g("text",{x:M+3,y:l-10},W)))].filter(Boolean)}var as=t=>c("div",{class:"\
legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),S(e.name)))),P=(t,e,s,n)=>L(
S(t,n.term),e,(n.legend??s.length>1)&&as(s),yt(s,n));var lt=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),le=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,ce="waiting for the first step",de="no step\
 was made",Wt=t=>t===ce||t===de,ls={unknown:"faint","non-finite":"broken",diverged:"c4"};function ct(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?E(n.severity):n.name==="healthy"?"ok":"info",o=n.name==="healthy"?"Loss below \
its start":T(n.name);return{name:n.name,head:o,text:n.text,kind:r,colour:ls[n.name]??r}}function dt({loss:t,loss_start:e,
loss_recent:s},n,r=[]){let o=s?.first[s.columnOf(n)],a=r.some(([i,d])=>i<=o&&o<=d&&d<n);return Number.isFinite(t?.at(n)??
0)&&e?.at(n)>0&&!a?1-s?.at(n)/e?.at(n):Number.NaN}var ht=t=>`${J(Math.abs(t))} ${t<0?"above":"below"} its start`,bt=["re\
ward","reward_start","reward_recent","reward_rows"];function xt({reward_start:t,reward_recent:e,reward_rows:s},n){let r=s?.
at(n)<10?Number.NaN:e?.at(n)-t?.at(n);return Number.isFinite(r)?`gain ${r<0?"−":"+"}${v(Math.abs(r))}, mean of five`:null}
var X=["output_ratio","relative_spectral_norm"];function ut({metric:t,depth:e},{size:s},n,r){let o=n?.at(r,1);return(t===
X[0]&&Number.isFinite(o)?s?.at(r):null)??(o==null?null:e*o)}async function he(t,e){let s=X.find($=>t.runs[e].metrics.includes(
$)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?ce:de;if(!s){let $=t.runs[e].step?"the output rat\
io was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:$}}let o={max_cols:400},[a,{alerts:l},i,d]=await Promise.
all([t.data.schema(e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),h=lt(a),u=i.first.findIndex(($,k)=>i.
flags[k*i.n]&3),p=u<0?void 0:i.first[u],w=d?.columns?[...new Set([...i.last,d.last.at(-1)])].filter($=>$>=d.first[0]):[],
[m,b]=await Promise.all([t.spread(s,{at:w},e),t.seriesOf(["loss","loss_start","loss_recent","size","zone"],{at:w},e)]),f=Y(
l),y=w.sort(($,k)=>$-k).map($=>({step:$,gain:dt(b,$,f),ratio:ut({metric:s,depth:h},b,m,$),zone:ct(a,b.zone,$)})).filter(
({gain:$,ratio:k})=>Number.isFinite($)&&k>0),_=([$,k],{step:M})=>$<=M&&M<=k,A=y.filter($=>!f.some(k=>_(k,$))),N=f.map($=>y.
filter(k=>_($,k)));return{metric:s,points:A,strays:N,depth:h,broken:p,missing:A.length?null:cs(t.runs[e],u<0?null:i.steps(
u),r)}}var cs=({series:t,step:e},s,n)=>e===0?n:t.includes("loss")?t.includes("reward")?"the reward counts here, not the \
loss":s?`NaN since ${s}`:"too few steps":"the loss is unknown";function ae(t){let e=Math.max(1,Math.round(t.length/30));
return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),o=t.slice(n-r,n+r+1),a=l=>o.reduce((i,d)=>i+l(d),0)/o.length;return{
...s,gain:a(l=>l.gain),ratio:Math.exp(a(l=>Math.log(l.ratio)))}})}function ue(t,e){let{width:s,height:n,damage:r,step:o,
onStep:a}=e,l=t.metric==="output_ratio"?"depth-scaled output ratio":"σ₁(ΔW) / σ₁(W₀) × depth",i=ae(t.points),d=(t.
strays??[]).map(ae),h=ds([...i,...d.flat()],s,n,r),u=pt("picture",s,n,`${l} against improvement of the loss`);return u.append(
...hs(h,l,n),...us(h,r)),t.missing?u.append(fs(h,t.missing)):u.append(...ms(t.points,i,d,h),...ps(i,t.broken,h,o)),gs(u,
i,h,l,a),u}function ds(t,e,s,n){let r=x(56),o=e-x(20),a=x(12),l=s-x(40),i=t.map(y=>y.gain),d=t.map(y=>Math.log10(y.ratio)),
h=Math.max(-10,Math.min(-.2,...i.map(y=>y*1.12))),u=Math.min(1,Math.max(.4,...i.map(y=>y*1.15))),p=Math.max(-4,Math.min(
...d.length?d:[-1])),w=Math.min(5,Math.max(...d.length?d:[1],n?Math.log10(n):-4)+.3),m=p-Math.max(.3,(w-p)/9);return{left:r,
right:o,top:a,bottom:l,x0:h,x1:u,y0:m,y1:w,X:y=>r+(Math.max(h,Math.min(u,y))-h)/(u-h)*(o-r),Y:y=>l-(Math.max(m,Math.min(
w,Math.log10(y)))-m)/(w-m)*(l-a)}}function hs({left:t,right:e,top:s,bottom:n,x0:r,x1:o,y0:a,y1:l,X:i,Y:d},h,u){let p=e-t,
w=`translate(${x(12)},${(s+n)/2})rotate(-90)`;return[g("rect",{x:t,y:s,width:p,height:n-s,class:"frame"}),...It(at(a,l),
{left:t,right:e},d),...q(r,o,Math.max(4,p/x(70))).map(m=>g("text",{x:i(m),y:n+x(15),"text-anchor":"middle"},J(m))),g("li\
ne",{x1:i(0),x2:i(0),y1:s,y2:n,class:"axis"}),g("text",{x:e,y:u-6,"text-anchor":"end",class:"axis-name"},"loss (mean of \
five) below its start →"),g("text",{class:"axis-name","text-anchor":"middle",transform:w},`${h}, p90, log`)]}function us({
left:t,right:e,top:s,Y:n},r){return r?[g("rect",{x:t,y:s,width:e-t,height:n(r)-s,class:"damaged"}),g("text",{x:e-x(6),y:n(
r)-x(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:[]}var fs=({left:t,right:e,top:s,bottom:n},r)=>gt(
(t+e)/2,(s+n)/2,Wt(r)?r:`no path: ${r}`);function ms(t,e,s,{X:n,Y:r}){let o=i=>`${n(i.gain).toFixed(1)} ${r(i.ratio).toFixed(
1)}`,a=i=>i.map((d,h)=>`${h?"L":"M"}${o(d)}`).join(""),l=({zone:i},d)=>i&&d&&g("path",{d:`M${o(e[d-1])}L${o(e[d])}`,class:`\
trace zone ${i.kind}`,style:`stroke:var(--${i.colour})`});return[g("path",{class:"trace-raw",d:t.map(i=>`M${o(i)}h.01`).
join("")}),...s.map(i=>g("path",{d:a(i),class:"trace stray"},g("title",null,`steps ${i[0]?.step} to ${i.at(-1)?.step}, d\
iscarded`))),g("path",{d:a(e),class:"trace-halo"}),g("path",{d:a(e),class:"trace"}),...e.map(l).filter(Boolean)]}function ps(t,e,{
X:s,Y:n,left:r,right:o},a){let l=(u,p,w,m)=>{let b=s(u.gain)>o-x(50)?"end":s(u.gain)<r+x(50)?"start":"middle";return g("\
g",{class:w,transform:`translate(${s(u.gain).toFixed(1)},${n(u.ratio).toFixed(1)})`},g("circle",{r:x(p)}),g("text",{y:w===
"begin"?x(17):-x(p+5),"text-anchor":b},m))},i=t[t.length-1],d=e>=i.step,h=t.findLast(u=>u.step<=a);return[t.length>1&&l(
t[0],3.5,"begin",`step ${t[0].step}`),l(i,6,d?"end gone":"end",`step ${i.step}${d?", then NaN":""}`),h&&h!==i&&l(h,5,"no\
w",`step ${a}`)].filter(Boolean)}function gs(t,e,{X:s,Y:n},r,o){let a=l=>{let i=t.getBoundingClientRect(),d=u=>Math.hypot(
s(u.gain)-(l.clientX-i.left),n(u.ratio)-(l.clientY-i.top)),h=e.reduce((u,p)=>u&&d(u)<=d(p)?u:p,null);return h&&d(h)<30?h:
null};t.addEventListener("pointermove",l=>{let i=a(l);if(!i)return I.hide();I.show(l,`step ${i.step}: ${i.zone?.head.toLowerCase()??
"zone not recorded"}`,`${r} ${v(i.ratio)}`,`loss (mean of five) ${ht(i.gain)}`)}),t.addEventListener("pointerleave",()=>I.
hide()),t.addEventListener("click",l=>{let i=a(l);i&&o(i.step)})}var D=({step:t,graver_at:e=null})=>e??t?`step ${e??t}`:"before step 1",ws=t=>t.graver_at==null?"":`, first seen ${D({step:t.
step})}`,vt=t=>`${t.rule}@${t.step}`;function Rt({name:t,lasted:e,closed_step:s,back_to:n},r){return n!=null&&t!=="recov\
ered"?"recovered from":s==null?r?"to the end":"still open":`${e} step${e>1?"s":""}`}async function me(t,e,s,n){let r=e.adapters?.[0]&&
t.adapters.find(({name:o})=>o===e.adapters[0].name);return c("section",{class:`card detail ${E(e.severity)}`,id:"detail"},
c("header",null,R(e.severity,16),c("h2",null,nt(e.message)),c("span",{class:"note"},`${e.rule} · ${D(e)}${ws(e)} · ${Rt(
e,s)}`)),e.details&&c("p",{class:"message"},e.details),fe("Cause",e.causes),e.next_run&&[c("h3",null,"Next run"),c("p",{
class:"advice",id:"settings"},e.next_run.text)],fe("Fix",e.remedies),await ys(t,e,r,n),c("div",{class:"actions"},c("butt\
on",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.
run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),xs(t,e))}var pe=(t,e)=>t.adapters.find(
s=>s.name===e)?.short??e,fe=(t,e)=>e?.length?[c("h3",null,t),c("ul",{class:"advice"},e.map(s=>c("li",null,String(s))))]:
null;async function ys(t,e,s,n){let{metric:r}=e,o=t.run.metrics.includes(r),a=t.window(400),l=null;return o&&s?l={name:`${r}\
, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...a})}:t.run.series.includes(r)&&(l={name:r,matrix:await t.series(
r,a)}),l?P(l.name,null,[{...l,colour:"var(--c1)"}],{term:r,width:n-52,height:x(150),log:o,...t.charting,alerts:[e],thresholds:o&&
(e.threshold??0)>0?[{value:e.threshold,name:`threshold ${v(e.threshold)}${bs(e,lt(t.schema))}`}]:[]}):null}var bs=({threshold:t,
metric:e},s)=>s>1&&X.includes(e)?`: ${v(t*s)} over ${v(s)} blocks`:"";function xs(t,e){if(!e.adapters?.length)return null;
let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,alert:vt(
e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace("nan","NaN"):v(r)));return[c("h3",null,`Adapters,\
 worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}function ge(t,e){let s=t.schema.config?.find_lr,n=ft(s?.curve?.rate),r=n.length;if(r<2)return null;let o=B(e-26,[3,2],24),
[a,l]=[Math.log10(n[0]),Math.log10(n[r-1])],i=f=>1+(r-1)*(Math.log10(f)-a)/(l-a),d={width:o.widths[0],range:[1,r],axis:"\
rate",ticks:at(a,l,o.widths[0]/x(70)).filter(f=>i(f)>r/20).map(f=>[i(f),v(f)]),say:f=>v(n[f-1]),marks:[{rate:s.rate,name:"\
suggestion",kind:"ok"},{rate:s.edge,name:s.edge_rule?`edge, ${s.edge_rule}`:"edge",kind:"error"}].filter(({rate:f})=>f!=
null).map(f=>({...f,at:i(f.rate)}))},{loss:h,smoothed:u,output_ratio:p}=s.curve,w=Math.max(...ft(u).filter(Number.isFinite)),
m=[{name:"loss",matrix:Lt(ft(h).map(f=>f>w?Number.NaN:f)),thin:!0},{name:"loss, mean of five",matrix:Lt(ft(u))}].map(f=>({
...f,colour:"var(--c1)"})),b=[{name:"depth-scaled output ratio",matrix:Lt(ft(p)),colour:"var(--c2)"}];return L("Learning\
 rate, found by a sweep",`${r} steps before the run`,c("div",{class:"sweep",id:"found",style:o.style},c("div",null,yt(m,
{...d,height:x(180),term:"loss, mean of five"}),yt(b,{...d,height:x(140),log:!0,term:b[0].name,thresholds:[{value:1}]})),
ot("words",s.sentences??[])))}var ft=t=>(t??[]).map(e=>e==null?Number.NaN:Number(e));function Lt(t){let e=t.map((r,o)=>o+
1),s=Float32Array.from(t),n={shape:[t.length,1],first:e,last:e,width:1,rows:t.length,notes:[]};return new Q({...n,pooled:!1},
s,s,new Uint8Array(t.length))}var vs="Overview",we=20;function $t(t,e,s,n,r=[],o=null){if(t)return{kind:E(t.severity),head:`${t.severity}: ${t.message}`,
text:t.details,alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.message,alert:n};
let a=!e||["ok","info"].includes(e.kind);if(a&&o?.kind==="warning")return{kind:"warning",head:T(o.word),text:o.text};if(!e)
return{kind:"info",head:"Not recorded",text:"This run was written without its zones."};let l=a?{...e,head:$s(r)}:e;return e.
name!=="unknown"||!s?l:Wt(s)?{...l,head:T(s)}:{...l,text:`${T(s)}.`}}function $s(t){let e=t.filter(({severity:s})=>s==="\
INFO").length;return e<t.length?"No warning is open":e?`No warnings, ${e} note${e>1?"s":""}`:"No alerts"}var _t=(t,e)=>t.
filter(s=>s.name==="recovered"&&s.step<=e).sort((s,n)=>n.step-s.step)[0],Ct=t=>({failed:2,unhealthy:2,interrupted:1,unknown:1})[t]??
0;async function _s(t){let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[a,l,i,d,h,u,p]=await Promise.all([he(t,n.
run),t.data.verdict(n.run,s<t.lastStep?s:void 0),ye(t,r),ye(t,o),t.seriesOf(["loss","loss_start","loss_recent","size",...bt,
"overhead","zone"],r),t.series("effective_lr",{max_cols:600,to:s}),t.seriesOf(["loss","loss_expected","probe_loss","rewa\
rd","effective_lr"],o)]),w=l.first==null?null:e[l.first],m=j(l,t.run),b=$t(w,ct(t.schema,h.zone,s),a.missing,_t(e,s),e.filter(
A=>A.step<=s),m),f=B(t.width,[43,57],16,930),[y,_]=f.widths;return c("div",{class:"overview"},Os(t,b,m),c("div",{class:"\
tiles"},Es(t,{...h,rates:u},i,a)),c("div",{class:"columns",style:f.style},L(S("Where the run is","path"),Ms(a.points),ue(
a,{width:y-26,height:x(470),damage:le(t.schema,a.metric),step:s,onStep:t.setStep})),ks(t,{...p,size:d},a,_)),L("Alerts",
null,Ws(t)),ge(t,t.width))}function ks(t,{loss:e,loss_expected:s,probe_loss:n,reward:r,effective_lr:o,size:a},l,i){let d=t.
lastStep>0,h=t.charting,u=B(i,[1,1],16,520),p={...h,empty:d?"not logged in this run":l.missing,width:u.widths[0]-26,height:x(
190)},w=r?[{name:Ft(t.schema).toLowerCase(),matrix:r,colour:"var(--c1)"}]:[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"\
expected",matrix:s,colour:"var(--soft)",dash:"3 3",thin:!0},...n?[{name:"general texts",matrix:n,colour:"var(--c2)"}]:[]],
m=l.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",{class:"stack"},P(r?Ft(t.
schema):"Loss",null,w,{...h,term:r?"reward":"loss",width:i-26,height:x(212),alerts:t.alerts.filter(b=>b.step>0),onAlert:b=>t.
openAlert(b,"alerts"),empty:d?"the loss is unknown in this run":l.missing}),c("div",{class:"columns",style:u.style},P(m,
"over adapters",a&&d?Ns(a):[],{...p,term:l.metric,log:!0}),P("s · lr","per group",d?As(o):[],{...p,term:"effective_lr",
zero:!0,log:h.discarded.length>0})))}var Ns=t=>["max","p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(\
--c${[2,1,3][s]})`,thin:s!==1}));function Ms(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),
s=([n,r])=>c("span",null,c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},
[...e].map(s))}var ye=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("relative_spectral_norm",e),As=t=>Array.
from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-1)*t.n+e])).map((e,s)=>({name:`gr\
oup ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function j(t,{wall_time:e},s=Date.now()/1e3){let{verdict:n,message:r,
first:o}=t,a=(r??"").split(`
`)[0];if(n==="ok")return{word:"finished",kind:o==null?"ok":"warning",text:a||"Training came to its end."};if(n==="unheal\
thy")return{word:"ended with an ERROR",kind:"error",text:a};if(n==="unknown")return{word:"finished, not judged",kind:"wa\
rning",text:a};if(n==="failed")return{word:"stopped by fail_on",kind:"error",text:a};if(n==="interrupted")return{word:"b\
roke off",kind:"warning",text:a||"It left no verdict: it was killed, or its script ended early."};if(n!=="running")return null;
let l=(s-e)/60;if(l<15)return{word:"running",kind:"info",text:"Training goes on."};let[i,d]=l<120?[l,"min"]:l<2880?[l/60,
"h"]:[l/1440,"days"];return{word:`silent for ${Math.round(i)} ${d}`,kind:"warning",text:"The run wrote nothing since, no\
t even its end: killed, or very slow."}}var Ss=({step:t,last_step:e,closed_step:s})=>s==null?t?`since step ${t}`:"since \
before step 1":e>t?`steps ${t}–${e}`:`at step ${t}`;function Os(t,{kind:e,head:s,text:n,alert:r},o){let a=t.ending.next_run?.
text,l=r?.causes?.join("; "),i=!a&&r?.remedies?.join("; "),d=U.map(h=>{let u=V(t.counts,h);return c("button",{class:`chi\
p ${E(h)}`,disabled:!u,title:"show the alerts",onclick:()=>t.set({view:"alerts"})},R(h,11),c("b",null,u),(h==="INFO"?"no\
te":h.toLowerCase())+(u===1?"":"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria\
-hidden":"true"},e==="ok"?"✓":R(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,o&&s!==T(o.word)&&rt(o.word,
o.text,{id:"ended",class:`badge ${o.kind}`}),r&&r.name!=="recovered"&&c("small",null,Ss(r))),n&&c("p",null,n),r&&o?.word===
"broke off"&&c("p",null,`Broke off: ${o.text}`),l&&c("p",{id:"cause"},c("b",null,"Cause "),l),i&&c("p",{class:"fix",id:"\
fix"},c("b",null,"Fix"),i),a&&c("p",{class:"fix",id:"next-run"},c("b",null,"Next run"),a),t.ending.passes&&c("p",{id:"pa\
sses"},t.ending.passes)),c("div",{class:"chips"},d))}var Ft=({config:t})=>t?.preference?"Margin":"Reward",kt=t=>t?.replace(
"alpha","α").replace("sqrt(r)","√r");function Is(t){let e=new Map;for(let n of t)e.set(n,(e.get(n)??0)+1);let s=[...e].
sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>1?`${v(s[0])}…`:v(s[0])}function be(t,e,s=[]){let n=null,r=o=>s.some(
([a,l])=>a<=t.last[o]&&t.first[o]<=l);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let a=0;a<t.n&&!r(o);a++){let l=t.
high[o*t.n+a];Number.isFinite(l)&&(n==null||l>n)&&(n=l)}return n}var H=(t,e,s,n,r)=>c("div",{class:"tile"},c("span",{class:"\
name"},S(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function Es(t,e,s,n){let{loss:r,reward:o,rates:a,
overhead:l}=e,{schema:i,adapters:d,step:h}=t,u=Y(t.alerts),p=dt(e,h,u),w=ut(n,e,s,h),m=l?.at(h),b=i.max_steps,f=b?Math.min(
1,h/b):null,y=d[0]?.scale_formula,_=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled output ratio"]:
["σ₁ relative to W₀ × depth",n.metric],A=["r","alpha","scale"].map(N=>Is(d.map($=>$[N]))).join(" / ");return[H("St\
ep","step",[String(h),b&&c("small",null,` / ${b}`)],f==null?null:`${J(f)} of the schedule`,f!=null&&c("i",{class:"progre\
ss",style:`--share:${f}`})),o?H(Ft(i),"reward",v(o.at(h)),xt(e,h)):H("Loss","loss",v(r?.at(h)),Number.isFinite(p)?`mean \
of five ${ht(p)}`:null),H(..._,v(w),w==null?"not measured":`${v(w/n.depth)} × depth ${v(n.depth)}`),H("s · lr, peak","\
effective_lr",v(be(a,h,u)),xe(i)),H("r / α / s","scale",d.length?A:"–",y?`s = ${kt(y)}`:"no adapters"),H("Adapters","\
adapters",String(d.length),i.config?.model_type??i.optimizer),H("Overhead","overhead",m==null||!t.lastStep?"–":J(m,1),
t.lastStep?`of the wall time ${h>we?`since step ${we}`:"so far"}`:n.missing)]}function xe({config:t,peak_lr:e}){let{rate:s,
low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${v(n)} to ${v(r)})`:"";return s!=null&&s===t?.learning_rate?`lr ${v(
s)}, found by a sweep${o}`:e?.length?`peak lr ${v(Math.max(...e))}`:null}function Ws(t){if(!t.alerts.length)return c("p",
{class:"none"},"✓ No alert in this run.");let e=s=>c("button",{class:"row",onclick:()=>t.openAlert(s,"alerts")},R(s.severity),
c("b",null,s.rule),c("span",{class:"note"},D(s)),c("span",null,s.message));return c("ol",{class:"alert-list"},t.alerts.slice(
0,6).map(s=>c("li",null,e(s))))}var Bt={};st(Bt,{draw:()=>Fs,title:()=>Rs});var Rs="Alerts",Ls=["Severity","Rule","What","Step","Held","Adapters"];async function Fs(t){if(!t.alerts.length)return L(
null,null,c("p",{class:"none"},"✓ No alert in this run."));let e=!["running",null].includes(t.ending.verdict),s=t.alerts.
find(o=>vt(o)===t.state.alert)??t.alerts[0],n=B(t.width,[52,48],16,1e3),r=c("div",{class:"columns",style:`${n.style};ali\
gn-items:start`},L(null,null,c("table",{class:"grid",id:"alerts"},c("thead",null,c("tr",null,...Ls.map(o=>c("th",null,S(
o))))),c("tbody",null,t.alerts.map((o,a)=>Cs(t,o,a,o===s,e))))),await me(t,s,e,n.widths[1]));return c("div",null,r)}function Cs(t,e,s,n,r){
let{severity:o,rule:a,message:l,adapters:i}=e;return c("tr",{class:n?"chosen":null,"data-alert":vt(e),onclick:()=>t.openAlert(
e)},c("td",null,c("span",{class:`tag ${E(o)}`},R(o,11),o.toLowerCase())),c("td",{class:"mono"},a),c("td",null,c("button",
{id:`alert-${s}`,class:"open","aria-current":String(n)},nt(l))),c("td",null,D(e)),c("td",null,Rt(e,r)),c("td",null,i?.length?
[c("span",{class:"mono clip"},pe(t,i[0].name)),i.length>1&&c("small",null,` +${i.length-1}`)]:"–"))}var zt={};st(zt,{draw:()=>js,title:()=>Ts});var Ts="Compare",Bs=/^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function ve(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[n,r]of Object.entries(t))ve(r,e?`${e}.${n}`:
n,s);else s[e]=$e(t);return s}function $e(t){return Array.isArray(t)?t.map(String).join(", "):typeof t=="number"&&!Number.
isInteger(t)?v(t):String(t??"–")}async function js(t){let e=await Promise.all(t.runNames.map(r=>Ds(t,r))),s=e.some(({last:r})=>r.
reward),n=[...Us.filter(([r])=>s||!r.startsWith("reward")),...Ps(e)];return c("div",{class:"compare"},L(`${e.length} run${e.
length===1?"":"s"}`,"with every setting that differs",c("div",{class:"scroll",tabindex:0,role:"region","aria-label":"run\
s"},c("table",{class:"grid sets",id:"runs"},c("thead",null,c("tr",null,c("th",null,"Run"),...n.map(([r])=>c("th",null,S(
r))))),c("tbody",null,e.map(r=>zs(t,r,n)))))))}function zs(t,e,s){let n={class:"open",onclick:()=>t.openRun(e.name,"over\
view")};return c("tr",{class:e.name===t.state.run?"chosen":null},c("th",{scope:"row"},c("button",n,e.name)),s.map(([,r])=>c(
"td",null,[r(e)].flat())))}var Us=[["verdict",({says:t})=>[t.kind==="ok"?"✓":R(t.kind.toUpperCase(),11)," ",t.head]],[
"end",({end:t})=>t?rt(t.word,t.text,{class:`badge ${t.kind}`}):"–"],["steps",({step:t,schema:e})=>`${t}${e.max_steps?`\
 / ${e.max_steps}`:""}`],["r",({schema:t})=>jt(t,"r")],["alpha",({schema:t})=>jt(t,"alpha")],["scale",({schema:t})=>jt(t,
"scale")],["lr",({schema:t})=>[...new Set(t.peak_lr??[])].map(e=>v(e)).join(", ")||"–"],["loss, mean of five",({last:t})=>{
if(!Number.isFinite(t.loss?.at(1/0)??0))return"NaN";let e=dt(t,1/0);return[v(t.loss_recent?.at(1/0)),Number.isFinite(e)&&
c("small",null,` ${ht(e)}`)]}],["reward, mean of five",({last:t})=>[v(t.reward_recent?.at(1/0)),c("small",null,` ${xt(t,
1/0)??""}`)]],["depth-scaled output ratio",({ratio:t})=>v(t)],["alerts",({counts:t})=>U.map(e=>[e,V(t,e)]).filter(([,e])=>e).
map(([e,s])=>c("span",{class:"tally"},R(e,11),s))]],jt=({adapters:t},e)=>[...new Set(t.map(s=>$e(s[e])))].join(", ")||"–";
function Ps(t){return[...new Set(t.flatMap(({settings:s})=>Object.keys(s)))].filter(s=>!Bs.test(s)).filter(s=>new Set(t.
map(({settings:n})=>n[s])).size>1).map(s=>[s,({settings:n})=>n[s]??"–"])}async function Ds(t,e){let{step:s,metrics:n}=t.
runs[e],r=X.find(w=>n.includes(w)),[o,{alerts:a,counts:l},i,d,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.
data.verdict(e),t.seriesOf(["loss","loss_start","loss_recent","size",...bt,"zone"],{at:s},e),r?t.spread(r,{at:s},e):null]),
u=j(i,t.runs[e]),p=$t(a[i.first],ct(o,d.zone,1/0),null,_t(a,1/0),a,u);return{name:e,step:s,schema:o,counts:l,last:d,says:p,
end:u,ratio:ut({metric:r,depth:lt(o)},d,h,1/0),settings:ve({...o.config,optimizer:o.optimizer,versions:o.versions??{}})}}var Gt={};st(Gt,{draw:()=>Xs,title:()=>Qs});var tt=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
_e=Uint32Array.from({length:256},(t,e)=>{let s=e/255*(tt.length-1),n=Math.min(tt.length-2,Math.floor(s)),r=s-n,[o,a,l]=[
0,1,2].map(i=>Math.round(tt[n][i]+(tt[n+1][i]-tt[n][i])*r));return(255<<24|l<<16|a<<8|o)>>>0}),ke=`linear-gradient(90deg\
,${tt.map(t=>`rgb(${t})`).join(",")})`;var Ne="#ff00a8";function Se(t,e,s,n,r,o,a){let{columns:l,n:i}=s,d=t.width,h=new ImageData(d,i),u=new Uint32Array(h.data.
buffer),p=Array.from({length:l+1},(N,$)=>Math.round(s.place($)*d));r.forEach(({adapter:N},$)=>{for(let k=0;k<l;k++){let M=n.
cells[k*i+N.index];Number.isNaN(M)||u.fill(_e[Math.max(0,Math.min(255,M*255|0))],$*d+p[k],$*d+p[k+1])}});let w=new OffscreenCanvas(
d,i);Ut(w).putImageData(h,0,0);let m=Ut(t);m.imageSmoothingEnabled=!1,m.scale(a,a);let b=d/a,f=N=>s.place(N)*b,y=0;for(let N=1;N<=
r.length;N++)N<r.length&&r[N].y===r[N-1].y+o||(m.drawImage(w,0,y,d,N-y,0,r[y].y,b,(N-y)*o),y=N);let _=m.createPattern(Ae(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:N,y:$})=>{Me(s,N.index,4,(k,M)=>{
m.fillStyle=_,m.fillRect(f(k),$,f(M)-f(k),o)})});let A=m.createPattern(Ae(null,"#fff",8),"repeat");r.forEach(({adapter:N,
y:$})=>{Me(s,N.index,3,(k,M)=>{let O=f(M)-f(k),W=Math.round(Math.max(7,O)),z=Math.max(7,o),G=Math.round(Math.max(0,Math.
min(b-W,(f(k)+f(M))/2-W/2))),K=Math.round($+o/2-z/2),et=o<7||O<7;m.fillStyle="#fff",et&&m.fillRect(G-1.5,K-1.5,W+3,z+3);
for(m.fillStyle of et?[Ne]:[Ne,A])m.fillRect(G,K,W,z)})})}var Ut=t=>t.getContext("2d");function Me(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let a=o<t.columns&&t.flags[o*t.n+e]&s;a&&r<0&&(r=o),!a&&r>=0&&(n(r,o),r=-1)}}function Ae(t,e,s){let n=new OffscreenCanvas(
s,s),r=Ut(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}function Dt(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Oe(t){let e=t.map(({name:r,layer:o})=>[r.slice(r.lastIndexOf(".")+
1),r.slice(r.indexOf(`.${o}.`)+1).replace(`${o}.`,""),r.replace(`.${o}.`,".")]),s=(r,o,a)=>JSON.stringify([r,o,a]),n=new Map;
for(let[r,{layer:o}]of t.entries())for(let[a,l]of e[r].entries())n.set(s(o,l,a),(n.get(s(o,l,a))??0)+1);return t.map((r,o)=>{
let{name:a,layer:l}=r,i=e[o].find((d,h)=>n.get(s(l,d,h))===1)??a;return{...r,index:o,type:i,short:l==null?a:`${l} · ${Dt(
i,18)}`}})}function Ie(t){let e=new Map;for(let s of t)e.has(s.type)||e.set(s.type,[]),e.get(s.type).push(s);return[...e].map(([s,n])=>({
name:s,adapters:n}))}function Ee({high:t}){let e=Float32Array.from(t,Math.log2),s=[],n=-1/0,r=Math.max(1,Math.floor(e.length/
2e4))|1;e.forEach((a,l)=>{Number.isFinite(a)&&(n=Math.max(n,a),l%r===0&&s.push(a))}),s.sort((a,l)=>a-l),n===-1/0&&(n=0);
let o=Math.min(s[Math.floor(.01*s.length)]??0,n-1e-6);return{cells:e.map(a=>(a-o)/(n-o)),ends:[`≤ ${v(2**o)}`,"log",v(
2**n)]}}var We=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),Nt=t=>x(108+6*(We(t)-11));function Re(t,e,s,n){
let r=Hs(t,e),{rows:o,size:a,height:l}=r,i=Math.max(1,Math.min(3,devicePixelRatio||1)),d=c("canvas",{id:"heat",width:Math.
round(n*i),height:Math.round(l*i),role:"img",style:`width:${n}px;height:${l}px`,"aria-label":`${t.state.metric} of ${e.n}\
 adapters at ${e.columns} columns of steps`});Se(d,t,e,s,o,a,i);let h=Gs(t,e,r,n);return Ks(d,t,e,o,h,n),c("div",{class:"\
plot",style:`grid-template-columns:${Nt(t)-4}px ${n}px`},c("span",{class:"strip-name"},"alerts"),Zs(t,e,n),qs(t,e,r),c("\
div",{class:"stage",style:`width:${n}px;height:${l}px`},d,h.overlay),c("span",{class:"strip-name"},"step"),Js(e,n))}function Hs(t,{
n:e}){let s=Ie(t.adapters),n=Math.max(300,innerHeight-x(232)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(1,Math.min(x(
30),Math.floor((n-r*s.length)/e))),a=[],l=[],i=0;for(let d of s){let h=i;for(let u of d.adapters)a.push({adapter:u,y:i}),
i+=o;l.push({name:d.name,y:(h+i)/2}),i+=r}return{rows:a,labels:l,size:o,height:i-r}}function Gs(t,e,{rows:s,size:n,height:r},o){
let a=f=>e.place(f)*o,l=f=>Math.max(1.5,a(f+1)-a(f)),i=g("svg",{class:"overlay",width:o,height:r}),d=e.columnOf(t.step);
t.step>=e.first[0]&&i.append(g("rect",{class:"at",x:a(d)-.5,y:0,width:l(d)+1,height:r}));let h=t.state.adapter&&s.find(f=>f.
adapter.name===t.state.adapter);h&&i.append(g("rect",{class:"at",x:.5,y:h.y-.5,width:o-1,height:n+1}));let u=g("rect",{class:"\
cross",height:n+2,width:o}),p=g("rect",{class:"cross",height:r}),w=g("rect",{class:"select",y:0,height:r});return i.append(
u,p,w),{overlay:i,band:w,point:(f,y)=>{u.setAttribute("y",f.y-1),p.setAttribute("x",a(y)),p.setAttribute("width",l(y)),u.
style.display=p.style.display="block"},leave:()=>{u.style.display=p.style.display="none"}}}function Ks(t,e,s,n,{band:r,point:o,
leave:a},l){let i=h=>s.columnOf(s.stepAt(h/l)),d=h=>n.findLast(({y:u})=>u<=h.clientY-t.getBoundingClientRect().top);wt(t,
r,{hover:(h,u)=>{let p=d(h);p&&(o(p,i(u)),I.show(h,...Vs(s,i(u),p.adapter)))},leave:a,zoom:(h,u)=>e.set({from:s.first[i(
h)],to:s.last[i(u)]}),choose:(h,u)=>{let p=d(h)?.adapter.name,w=s.last[i(u)];p&&e.set({view:"layer",adapter:p,step:w>=e.
lastStep?"":w})}})}function Vs(t,e,{name:s,index:n}){let r=t.flags[e*t.n+n];return[c("b",null,s),`${t.steps(e)}: ${t.say(
e,n,v)||"–"}`,r&3?c("strong",null,it(r)):null]}function qs(t,{n:e},{rows:s,labels:n,size:r,height:o}){let a=Nt(t),l=g(
"svg",{class:"gutter",width:a-6,height:o}),i=r>=x(11)&&n.length<e,d=-99;for(let h of n)h.y-d<x(12)||(d=h.y,l.append(g("t\
ext",{x:i?a-x(36):a-12,y:h.y+x(4),"text-anchor":"end",class:"group"},Dt(h.name,We(t)+(i?0:4)),g("title",null,h.name))));
for(let{adapter:h,y:u}of i?s:[])l.append(g("text",{x:a-12,y:u+r/2+x(4),"text-anchor":"end",class:"item"},h.layer??""));return l}
function Zs(t,e,s){let r=g("svg",{class:"strip",width:s,height:20});for(let o of t.alerts){if(o.step<e.first[0]||o.step>
e.end)continue;let a=e.columnOf(o.step),l=(e.place(a)+e.place(a+1))/2*s;r.append(Et(o,Math.max(7,l),20,()=>t.openAlert(o)))}
return r}function Js(t,e){let s=g("svg",{class:"axis",width:e,height:x(18)}),n=r=>(r-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+
1)*e;for(let r of q(t.first[0],t.end,e/x(70)).filter(Number.isInteger)){let o=n(r);s.append(g("text",{x:o,y:x(14),"text-\
anchor":o<12?"start":o>e-14?"end":"middle"},r))}return s}var Qs="Heatmap",Ys=12,Ht=()=>x(268);async function Xs(t){let{state:e,adapters:s}=t;if(!s.length||!e.metric)return c("p",
{class:"empty-page"},"This run has no adapters.");let n=tn(t),r=t.width>3*Ht(),o=t.width-(r?Ht()+16:0)-28,a=o-Nt(t)-4,l=await t.
metric(e.metric,t.window(Math.max(50,Math.floor(a/50)*50)));if(t.notes=[...new Set([...t.notes,...l.notes])],!l.columns)
return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));l.until=Math.min(t.
lastStep,e.to===""?1/0:Number(e.to));let i=Ee(l);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`grid-te\
mplate-columns:minmax(0,1fr)${r?` ${Ht()}px`:""}`},c("section",{class:"card"},en(l,i),Re(t,l,i,a)),c("section",{class:"c\
ard side"},c("header",null,c("h2",null,S(`Stand out at ${l.steps(l.columnOf(t.step))}`,"Stand out"))),sn(t,l))))}var tn=t=>c(
"div",{class:"toolbar"},c("span",{class:"pick"},S("Metric",t.state.metric),c("select",{id:"metric","aria-label":"metric",
onchange:e=>t.set({metric:e.target.value})},t.run.metrics.map(e=>c("option",{value:e,selected:e===t.state.metric},e)))),
c("span",{class:"note"},"drag to zoom, click for the adapter, arrow keys for the steps and adapters"));function en(t,{ends:e}){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${ke}`}),c("span",null,e.map(s=>c("span",
null,s)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"no\
t measured"),c("span",{class:"grow"}),c("span",{class:"note"},t.pooled?`${t.rows} steps in ${t.columns} columns; extreme\
s and NaN kept`:`${t.rows} ${t.rows===1?"step was":"steps were"} read`))}function sn(t,e){if(t.step<e.first[0])return c(
"p",{class:"none"},"Nothing was measured up to this step.");let s=e.columnOf(t.step)*e.n,n=t.adapters.map(i=>({adapter:i,
value:e.high[s+i.index],flags:e.flags[s+i.index]})).filter(({flags:i})=>!(i&4)).map(i=>({...i,broken:i.flags&3}));if(!n.
some(({broken:i,value:d})=>i||d!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not mea\
sured at this step.");let r=n.filter(({broken:i})=>!i).sort((i,d)=>i.value-d.value),o=r[r.length>>1]?.value,a=({broken:i,
value:d})=>i?1/0:Math.abs(Math.log2(d/o)),l=({adapter:i,value:d,broken:h})=>c("button",{class:"row",title:i.name,onclick:()=>t.
set({view:"layer",adapter:i.name})},c("span",{class:"clip"},i.short),c("b",null,h?it(h):v(d)),c("small",null,h?"":nn(d/o)));
return n.sort((i,d)=>a(d)-a(i)||d.value-i.value),c("ol",{class:"standout"},n.slice(0,Ys).map(i=>c("li",null,l(i))))}var nn=t=>t<
1?`÷ ${v(1/t)}`:`× ${v(t)}`;var Kt={};st(Kt,{draw:()=>on,title:()=>rn});var rn="Layer",Le=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",[["output_ratio","out\
put_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],["relative_spectral_no\
rm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],["Ranks in use","of \
r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius norms",[["a_norm","A"],
["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","B"]],!0],["Product",
"‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Updates that arrived","share of 64 numbers that \
changed",[["a_changed","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["b\
ase_drift","base_drift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the \
live factor",[["scale","scale"]],!1]];async function on(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"emp\
ty-page"},"This run has no adapters.");let r=t.width>x(1260)?4:3,o=B(t.width,Array(r).fill(1)),a=o.widths[0],l=new Set(Le.
flatMap(([,,m])=>m.map(([b])=>b))),i=[...Le,...s.metrics.filter(m=>!l.has(m)).map(m=>[T(m),null,[[m,m]],!0])].map(([m,b,
f,y])=>({name:m,note:b,log:y,several:f.length>1,metrics:f.filter(([_])=>s.metrics.includes(_))})).filter(({metrics:m})=>m.
length),d=i.flatMap(({metrics:m})=>m.map(([b])=>b)),h={max_cols:400,adapter:e.index,from:n.from,to:n.to},u={...h,from:n.
from||1},p=Object.fromEntries(await Promise.all(d.map(async m=>[m,await t.metric(m,m==="effective_lr"?u:h)]))),w=t.alerts.
filter(m=>m.adapters?.some(({name:b})=>b===e.name));return c("div",{class:"layer"},an(t,w),c("div",{class:"columns",style:o.
style},i.map(({name:m,note:b,metrics:f,log:y,several:_})=>{let A=f.map(([$,k,M],O)=>({name:k,matrix:p[$],colour:M?"var(-\
-soft)":`var(--c${O+1})`,dash:M})),N=A.length>1||_;return P(m,b,A,{legend:N,term:f[0][0],width:a-26,height:x(150)+(N?0:x(
21)),...t.charting,log:y||f[0][0]==="effective_lr"&&t.charting.discarded.length>0,alerts:w.filter($=>f.some(([k])=>k===$.
metric)),onAlert:$=>t.openAlert($,"alerts")})})))}function an(t,e){let{adapter:s,adapters:n,schema:r,moveAdapter:o}=t,a=r.
peak_lr?.[s.group??-1],l=(i,d,h)=>d!=null&&c("div",null,c("dt",null,i),c("dd",null,d,h&&c("small",null,` ${h}`)));return c(
"section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"adapter before \
(↑)",onclick:()=>o(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:i=>t.set({adapter:i.
target.value})},n.map(i=>c("option",{value:i.name,selected:i===s},i.name))),c("button",{id:"after",class:"quiet",title:"\
adapter after (↓)",onclick:()=>o(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("span",{class:"gr\
ow"}),e.length?e.map(i=>c("button",{class:"chip",onclick:()=>t.openAlert(i,"alerts"),title:i.message},R(i.severity,11),`${i.
rule}, ${D(i)}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"facts"},l(S("Kind"),s.kind),
s.d_out!=null&&l(S("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&l(S("B · A"),`${s.d_out} × ${s.r} · ${s.r} × ${s.d_in}`),
l(S("r","r"),s.r||null),l(S("α","alpha"),s.alpha==null?null:v(s.alpha)),l(S("s","scale"),s.scale==null?null:v(s.scale),
kt(s.scale_formula)),l(S("Group","group"),s.group==null?"in no optimizer group":String(s.group),a!=null?`lr ≤ ${v(a)}`:
null),l(S("Trainable"),s.trainable?.toLocaleString("en")),l(S("‖W₀‖","base_norm"),s.base_norm==null?"unknown":v(Number(
s.base_norm))),l(S("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"unknown":v(Number(s.base_spectral_norm)))))}var Z={overview:Tt,heatmap:Gt,layer:Kt,alerts:Bt,compare:zt};function Vt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},ln(t)),hn(t),cn(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?dn(t):""),e&&document.
getElementById(e)?.focus({preventScroll:!0})}function ln(t){let e=U.find(n=>V(t.counts,n)),s=U.reduce((n,r)=>n+V(t.counts,
r),0);return Object.entries(Z).map(([n,r])=>c("button",{id:`tab-${n}`,"aria-current":n===t.state.view&&"page",onclick:()=>t.
set({view:n})},r.title,n==="alerts"&&e?c("span",{class:`count ${E(e)}`},s):null))}var cn=t=>c("label",{class:"pick scrub"},
"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.setStep(Number(
e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"step"},t.step)),dn=t=>c(
"button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-label":t.newer?null:"refr\
esh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function hn(t){let e=s=>{let n=j(t.runs[s],t.runs[s]);return c(
"option",{value:s,selected:s===t.state.run},n?`${s} (${n.word})`:s)};return c("label",{class:"pick"},"Run",c("select",{id:"\
run",onchange:({target:s})=>t.openRun(s.value)},t.runNames.map(e)))}var Mt=class{#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){return this.#e(
"runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e("aler\
ts",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,
...n})}spread(e,s,n){return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,
...n})}async#e(e,s){let n=Object.entries(s).filter(([,l])=>l!=null&&l!=="").map(([l,i])=>[l,String(i)]),r=`${e}?${new URLSearchParams(
n)}`;if(this.#t.has(r)){let l=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,l),l}let o=this.#r,a=this.#n(e,n);this.#t.
set(r,a);try{let l=await a;return this.#s.set(a,l.bytes??0),o===this.#r&&this.#o(),l}catch(l){throw this.#t.get(r)===a&&
this.#t.delete(r),l}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=
104857600)break;s-=e(r),this.#t.delete(n)}}};var qt="lora_watch",mt=`p.${qt}.`,Zt=!1;function Fe(){Zt=!0}function Jt(){if(Zt)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function Ce(t){let e=()=>{let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener(
"change",()=>t(s.matches)),t(s.matches)};if(Zt)return e();try{let s=window.parent.document.body,n=()=>t(s.classList.contains(
"dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,attributeFilter:["class"]}),n()}catch{e()}}var At=()=>Jt().
location.hash.replace(/^#/,"").split("&"),Te=()=>["",qt].includes(At()[0]);function Qt(){let t={};for(let e of At()){if(!e.
startsWith(mt))continue;let[s,n=""]=e.slice(mt.length).split("=");try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}
return t}function Be(t,e){if(!Te())return;let s=At().filter((o,a)=>a>0&&o&&!o.startsWith(mt)),n=Object.entries(t).filter(
([,o])=>o!==""&&o!=null).map(([o,a])=>`${mt}${o}=${encodeURIComponent(a)}`),{history:r}=Jt();try{r[e?"pushState":"replac\
eState"](r.state,"",`#${[qt,...n,...s].join("&")}`)}catch{}}function je(t){let e=Jt(),s=()=>{Te()&&At().some(n=>n.startsWith(
mt))&&t(Qt())};e.addEventListener("hashchange",s),window.addEventListener("pagehide",()=>e.removeEventListener("hashchan\
ge",s))}function Ue(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||e.target.matches?.("select")||e.target.id==="scrub"&&e.key.
startsWith("Arrow"))return;let s=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,n=["layer","heatmap"].includes(t.state.
view),r={ArrowLeft:()=>t.setStep(t.step-s),ArrowRight:()=>t.setStep(t.step+s),ArrowUp:n&&(()=>t.moveAdapter(-1)),ArrowDown:n&&
(()=>t.moveAdapter(1)),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""})}[e.key];r&&(e.preventDefault(),r())}var Yt={view:"overview",run:"",metric:"",adapter:"",step:"",from:"",to:"",alert:""},un=["output_ratio","relative_spectra\
l_norm","relative_norm","delta_norm"],fn=5e3;function mn(t,e,s){let n=Object.keys(e).filter(l=>!(l in t)),r=n.length?`${n.
length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&!Object.keys(t).length)return{words:r,isHere:!0};let[o,a]=[
t[s],e[s]];return o&&a&&a.step!==o.step?{words:`now at step ${a.step}`,isHere:!0}:o&&a&&a.wall_time!==o.wall_time?{words:"\
more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var St=class{constructor(e,s,n=!0){this.data=new Mt(s),this.live=
n,this.state={...Yt},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),this.heading=c("h1",{class:"\
unseen"}),this.bar.tabIndex=-1,e.append(this.bar,this.main),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.counts={},this.adapters=[],this.notes=[]}async start(){
Ce(n=>{this.dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(Qt()),je(n=>{this.
wanted=null,this.#s(n),this.draw()}),addEventListener("keydown",n=>Ue(this,n));let e=innerWidth,s;addEventListener("resi\
ze",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},80)}),addEventListener(
"pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&setInterval(()=>this.#n(),
fn),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.hidden||!innerWidth||
!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);if(e!==this.state.
run)return;let n=mn(this.runs,s,this.wanted?.run??e);if(n?.isHere&&this.#t&&!this.pressed)return this.refresh();!this.pressed&&
j(this.ending,this.run)?.word!==this.endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,Vt(this))}get#t(){
let{step:e,to:s}=this.state;return s===""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.
wanted=null,this.#s({...this.state,...e}),this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.
state=Object.fromEntries(Object.entries(Yt).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in Z||(this.state.view="o\
verview")}async draw(){let e=++this.drawing,{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-b\
usy","true");let r=setTimeout(()=>{e===this.drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{
if(this.runs=await this.data.runs(),!Object.keys(this.runs).length)return this.#i(e,c("p",{class:"empty-page"},"No run h\
ere holds LoRA data yet. Add LoraWatchCallback() to the Trainer."));this.#r();let o=await this.#e();if(e!==this.drawing)
return;await this.#o(o),Vt(this),this.#l();let a=await Z[this.state.view].draw(this);this.#i(e,a)}catch(o){this.#i(e,c("\
div",{class:"empty-page",role:"alert"},c("p",null,`This view could not be drawn: ${o.message}`),c("button",{id:"again",class:"\
quiet",onclick:()=>this.refresh()},"Try again")))}finally{clearTimeout(r)}}#r(){if(this.wanted&&this.wanted.run in this.
runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.run in this.runs)return;this.state.run&&(this.wanted??=this.
state);let e=({verdict:n,wall_time:r})=>[this.live?0:Ct(n),r],s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];this.#s({...this.
wanted?{view:this.state.view}:this.state,run:Object.keys(this.runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>0?r:n)})}async#e(){
let e=this.state.run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,
found:n,ending:r}}async#o({schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,this.counts=s.counts,
this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.adapters=await this.#d(e),this.missing=this.#a();
let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=un.find(o=>r.includes(o))??r[0]??""),this.endWord=
j(n,this.run)?.word,this.newer=void 0}#a(){let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.
run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`Th\
is run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapters: nothing but its loss and rates i\
s known."}#l(){this.wanted||Be(Object.fromEntries(Object.entries(this.state).filter(([e,s])=>s!==Yt[e])),this.navigated),
this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(
c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${Z[e].title.toLowerCase()}${s} …`,c("progress")))}#i(e,s){
if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;I.hide();let o=ot("notes",[this.missing??
[]].flat());this.main.replaceChildren(...c("div",null,o,s,ot("notes",this.notes??[])).childNodes),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${Z[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#d(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:n},(r,o)=>({name:`adapter ${o}`}))}return Oe(s)}get lastStep(){return this.run.step}get runNames(){
return Object.keys(this.runs).sort((e,s)=>e.localeCompare(s,void 0,{numeric:!0}))}get step(){let e=Number(this.state.step);
return this.state.step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){
return this.adapters.find(e=>e.name===this.state.adapter)??this.#h??this.adapters[0]}get#h(){let e=this.alerts[this.ending.
first??-1]?.adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}metric(e,s){return this.data.metric(this.
state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,a)=>[o,r[a]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}get charting(){let{step:e,setStep:s,zoom:n}=this;return{step:e,onStep:s,onZoom:n,range:this.range(),discarded:Y(
this.alerts)}}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};moveAdapter=e=>{let s=this.adapters.length;return s&&this.set({adapter:this.
adapters[(this.adapter.index+e+s)%s].name})};openRun=(e,s=this.state.view)=>this.set({view:s,run:e,adapter:"",step:"",from:"",
to:"",alert:""});openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.
name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};async function Pe(t){let e=Uint8Array.from(atob(t.trim()),d=>d.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(new DecompressionStream(
"deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,tables:a}=JSON.parse(new TextDecoder().
decode(new Uint8Array(n,4,r))),l=new Map,i=d=>{let[h,u]=a[d];return l.has(d)||l.set(d,Q.parse(n.slice(4+r+h,4+r+h+u))),l.
get(d)};return async(d,h)=>{let{run:u="",metric:p,name:w,at:m,...b}=Object.fromEntries(h),f=Object.fromEntries(Object.entries(
b).map(([A,N])=>[A,Number(N)])),y=JSON.stringify([d,u,p??w??""]),_=JSON.stringify([`${d} at`,u,p??w??""]);if(m&&_ in a)return i(
_);if(y in a)return i(y).window(f);if(!(y in o))throw new Error(`The report does not hold ${p??w??d}.`);return d==="verd\
ict"?pn(o[y],f.step??1/0):o[y]}}var pn=({first:t,...e},s)=>({...e,first:t.findLast(([n])=>n<=s)?.[1]??null});Fe();var gn=document.getElementById("answers");Pe(gn?.textContent??"").then(t=>new St(document.body,t,!1).start());
