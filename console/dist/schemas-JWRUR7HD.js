import{g as a}from"./chunk-RLH3V6A7.js";function e(){return a("div",{class:"page",children:a("h1",{children:"Schemas"})})}export{e as SchemasPage};
